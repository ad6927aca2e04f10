"""What a function with `batches=` yields. Light: pipelines import it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from headgate.errors import UsageError
from headgate.project.context import check_offset

if TYPE_CHECKING:
    from typing import Any


@dataclass(frozen=True, slots=True)
class Batch:
    """Rows, and from where a function goes on once they are saved.

    Args:
        data: A table; all batches of a partition have one schema.
        offset: What the next attempt gets as `ctx.resume_from` if this is the last batch that was saved.

    Raises:
        UsageError: The offset is neither text nor a whole number of 64 bits.
    """

    data: Any
    offset: int | str

    def __post_init__(self) -> None:
        check_offset("the offset of a batch", self.offset)
        if isinstance(self.offset, str):
            try:
                self.offset.encode()
            except UnicodeEncodeError:
                raise UsageError(f"the offset of a batch is {self.offset!a}, which is not valid Unicode") from None
