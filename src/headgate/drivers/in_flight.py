"""What is under way: the noun that drivers pass around."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from headgate.core.effects import StartAttempt
    from headgate.model.dataset import Dataset
    from headgate.model.run import Attempt, Failure


class InFlight(NamedTuple):
    """An attempt that was ordered and has not come back."""

    start: StartAttempt
    attempt: Attempt
    dataset: Dataset
    inputs: tuple[int, ...]
    inputs_digest: int
    resumed: frozenset[str] = frozenset()
    """Paths of parts that earlier attempts of the task saved, relative to the data root."""
    together: tuple[int, ...] = ()
    """Numbers of the attempts of the ranged one that it belongs to, its own among them; none for an ordinary one."""
    replaces: bool = False
    """Whether its partition had a version when the run was taken up."""
    refusal: Failure | None = None
    """Why it must not begin: a rollback has taken back what it reads, or holds its partition."""

    @property
    def order(self) -> int:
        """Return the number by which executors know the order that it went out with."""
        return self.together[0] if self.together else self.attempt.id
