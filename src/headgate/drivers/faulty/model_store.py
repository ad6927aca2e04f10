"""The state store in memory, with its rules and nothing else: transactions, fencing, heads by compare-and-swap."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, NamedTuple

from headgate.model.run import AttemptState, RunState
from headgate.store.records import Published

if TYPE_CHECKING:
    from collections.abc import Mapping

    from headgate.drivers.faulty.scene import Change, Partition
    from headgate.model.breaker import BreakerRecord

_ABSENT = object()


@dataclass(frozen=True, slots=True)
class RunRow:
    """A run: where it stands, and what was changed of it."""

    state: RunState
    is_paused: bool = False
    concurrency: int | None = None
    priority: int = 0
    order: int = 0
    retried_from: int = 0
    is_cancelled: bool = False


@dataclass(frozen=True, slots=True)
class AttemptRow:
    """An attempt: of which task, what the head was when it started, and where it stands."""

    run: str
    task: int
    partition: Partition
    expects: int | None
    state: AttemptState = AttemptState.RUNNING


class Checkpoint(NamedTuple):
    """What an attempt published: the version that became the head, and the head before."""

    run: str
    task: int
    partition: Partition
    version: int
    previous: int | None


class ModelStore:
    """What is durable.

    Args:
        heads: Version of each partition that has one from the start.
    """

    def __init__(self, heads: Mapping[Partition, int]) -> None:
        self.runs: dict[str, RunRow] = {}
        self.attempts: dict[int, AttemptRow] = {}
        self.versions: dict[int, str] = {version: f"v{version}" for version in heads.values()}
        self.checkpoints: dict[int, Checkpoint] = {}
        self.heads: dict[Partition, int] = dict(heads)
        self.breakers: dict[str, BreakerRecord] = {}
        self.requests: dict[int, Change] = {}
        self.numbers = {"next": len(heads) + 1}

    def begin(self) -> Transaction:
        """Begin a transaction; there is one at a time."""
        return Transaction(self)

    def is_run(self, run: str, *states: RunState) -> bool:
        """Return whether a run is recorded in one of some states."""
        row = self.runs.get(run)
        return row is not None and row.state in states

    def is_live(self, attempt: int) -> bool:
        """Return whether the fencing token of an attempt is good."""
        row = self.attempts.get(attempt)
        return row is not None and row.state is AttemptState.RUNNING

    def may_move(self, row: AttemptRow) -> bool:
        """Return whether the head is what it was when an attempt started."""
        return self.heads.get(row.partition) == row.expects


class Transaction:
    """Changes that happen together or not at all."""

    def __init__(self, store: ModelStore) -> None:
        self.store = store
        self._log: list[tuple[dict[Any, Any], Any, Any, Any]] = []

    def rollback(self) -> None:
        """Undo everything."""
        for table, key, before, _ in reversed(self._log):
            if before is _ABSENT:
                del table[key]
            else:
                table[key] = before

    def again(self) -> None:
        """Do everything again, after a rollback."""
        for table, key, _, after in self._log:
            if after is _ABSENT:
                del table[key]
            else:
                table[key] = after

    def set_run(self, run: str, **values: object) -> None:
        """Add or change a run."""
        row = self.store.runs.get(run) or RunRow(RunState.RUNNING)
        self._put(self.store.runs, run, replace(row, **values))  # type: ignore[arg-type]

    def start(self, rows: list[AttemptRow]) -> list[int]:
        """Record attempts; return their numbers."""
        first = self.store.numbers["next"]
        for n, row in enumerate(rows):
            self._put(self.store.attempts, first + n, row)
        self._put(self.store.numbers, "next", first + len(rows))
        return list(range(first, first + len(rows)))

    def end(self, attempt: int, state: AttemptState) -> None:
        """Record how an attempt ended."""
        self._put(self.store.attempts, attempt, replace(self.store.attempts[attempt], state=state))

    def publish(self, attempt: int, content: str) -> Published:
        """Make what an attempt staged the head of its partition, if the attempt is live and the head has not moved."""
        store = self.store
        if not store.is_live(attempt):
            return Published.FENCED
        row = store.attempts[attempt]
        head = store.heads.get(row.partition)
        if not store.may_move(row):
            self.end(attempt, AttemptState.SUPERSEDED)
            return Published.SUPERSEDED
        version = attempt
        if head is not None and store.versions[head] == content:
            version = head
        else:
            self._put(store.versions, version, content)
            self._put(store.heads, row.partition, version)
        self._put(store.checkpoints, attempt, Checkpoint(row.run, row.task, row.partition, version, head))
        self.end(attempt, AttemptState.SUCCEEDED)
        return Published.NEW if version == attempt else Published.UNCHANGED

    def save_breaker(self, record: BreakerRecord) -> None:
        """Record how a breaker stands."""
        self._put(self.store.breakers, record.name, record)

    def settle(self, number: int) -> None:
        """Take a person's request off the list."""
        self._put(self.store.requests, number, _ABSENT)

    def settle_cancel(self, run: str) -> None:
        """Take the requests to cancel a run off the list."""
        for number, change in list(self.store.requests.items()):
            if (change.verb, change.target) == ("cancel", run):
                self.settle(number)

    def _put(self, table: dict[Any, Any], key: object, after: object) -> None:
        self._log.append((table, key, table.get(key, _ABSENT), after))
        if after is _ABSENT:
            del table[key]
        else:
            table[key] = after
