"""What a dataset's function gets as `ctx`. Light: workers import it before anything else."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from headgate.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from logging import Logger, LoggerAdapter

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_INTEGERS = range(-(2**63), 2**63)
"""What the state store can hold."""


@dataclass(slots=True)
class Context:
    """What a function knows about the attempt that calls it, and what it may report beside its rows.

    Args:
        dataset: Name of the dataset.
        key: Key of the partition.
        window: Half-open window of the partition in UTC milliseconds; None without a time axis.
        attempt: Number of the attempt, unique in the state store.
        number: First, second, ... try of this task.
        run: Run id.
        parameters: The `[parameters]` of headgate.toml.
        keys: Keys of all partitions of the attempt, in order: more than `key` with `batch=`; then `key` is the
            first of them, and the window spans them all.
        zone: Time zone of the dataset's windows.
    """

    dataset: str
    key: str
    window: tuple[int, int] | None = None
    attempt: int = 0
    number: int = 1
    run: str = ""
    parameters: Mapping[str, str | int | float | bool] = field(default_factory=dict)
    keys: tuple[str, ...] = ()
    zone: str = "UTC"
    watermark_ms: int | None = field(default=None, init=False)
    offsets: dict[str, int | str] = field(default_factory=dict, init=False)
    has_looked: bool = field(default=False, init=False, repr=False)
    """Whether the function has asked for `resume_from`."""
    _resume_from: int | str | None = field(default=None, init=False, repr=False)

    def __post_init__(self) -> None:
        """Name the one key, where nobody names several."""
        self.keys = self.keys or (self.key,)

    @property
    def resume_from(self) -> int | str | None:
        """Return the offset of the last batch that is saved, behind which a function that yields batches goes on.

        None to begin at the beginning.
        """
        self.has_looked = True
        return self._resume_from

    @property
    def static_key(self) -> str:
        """Return the part of the key that is no time: what is behind the slash, or all of it without a time axis."""
        return self.key if self.window is None else self.key.partition("/")[2]

    def resume_at(self, offset: int | str) -> None:
        """Say what `resume_from` is: for Headgate, and for tests of functions."""
        self._resume_from = offset

    @property
    def start(self) -> datetime | None:
        """Return the start of the window as an aware datetime in UTC; None without a time axis."""
        return None if self.window is None else _EPOCH + timedelta(milliseconds=self.window[0])

    @property
    def end(self) -> datetime | None:
        """Return the exclusive end of the window, likewise."""
        return None if self.window is None else _EPOCH + timedelta(milliseconds=self.window[1])

    @property
    def logger(self) -> LoggerAdapter[Logger]:
        """Return the logger ``headgate.DATASET``, whose records have the key and the attempt as `partition`.

        Workers write to ``workers.log`` beside the state store, from level INFO on.
        """
        import logging

        logger = logging.getLogger(f"headgate.{self.dataset}")
        return logging.LoggerAdapter(logger, {"partition": f"{self.key} a{self.attempt}"})

    def set_watermark(self, moment: datetime | int) -> None:
        """Record the latest event time in the data.

        Args:
            moment: An aware datetime, or UTC milliseconds.

        Raises:
            UsageError: It is something else, a datetime without a time zone, or a number beyond 64 bits.
        """
        if isinstance(moment, datetime):
            if moment.utcoffset() is None:
                raise UsageError(
                    f"set_watermark got {moment.isoformat()}, which has no time zone",
                    hint="Give it one: moment.replace(tzinfo=UTC).",
                )
            self.watermark_ms = (moment - _EPOCH) // timedelta(milliseconds=1)
        elif isinstance(moment, int) and not isinstance(moment, bool):
            if moment not in _INTEGERS:
                raise UsageError(
                    f"set_watermark got {moment:#x}, which does not fit into 64 bits",
                    hint="Give it UTC milliseconds.",
                )
            self.watermark_ms = moment
        else:
            raise UsageError(f"set_watermark takes a datetime or UTC milliseconds, got {type(moment).__name__}")

    def set_offset(self, name: str, value: int | str) -> None:
        """Record how far a source of the author's own was read; the last value of a name counts.

        Raises:
            UsageError: The name is no text or the value neither text nor a whole number of 64 bits.
        """
        if not isinstance(name, str) or not name:
            raise UsageError(f"set_offset takes a name as text, got {name!r}")
        check_offset(f"offset {name}", value)
        self.offsets[name] = value


def check_offset(what: str, value: object) -> None:
    """Raise if a value cannot be kept as an offset.

    Raises:
        UsageError: It is neither text nor a whole number of 64 bits.
    """
    if not isinstance(value, int | str) or isinstance(value, bool):
        raise UsageError(f"{what} must be a whole number or text, got {type(value).__name__}")
    if isinstance(value, int) and value not in _INTEGERS:
        raise UsageError(f"{what} is {value:#x}, which does not fit into 64 bits", hint="Give it as text.")
