"""All breakers: who is told of which end of an attempt, and which have to be recorded anew."""

from __future__ import annotations

from typing import TYPE_CHECKING

from headgate.core.breaker import BLAMED_ON_RESOURCE, Breaker
from headgate.core.effects import SaveBreaker
from headgate.core.queues import release
from headgate.errors import InternalError
from headgate.model.run import ErrorClass

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from headgate.core.breaker import Task
    from headgate.core.ranged import RangedAttempt
    from headgate.model.breaker import BreakerRecord
    from headgate.model.policy import BreakerPolicy


class Breakers:
    """The breakers of datasets and pools.

    Args:
        recorded: How they stood, as far as that is known.
        call_back: Asks to be called with `elapse` at a time, by the name of a breaker.
    """

    def __init__(self, recorded: Iterable[BreakerRecord], call_back: Callable[[int, str], None]) -> None:
        self.by_name: dict[str, Breaker] = {}
        self._recorded = {record.name: record for record in recorded}
        self._call_back = call_back
        self.changed: list[Breaker] = []
        """Those that have to be recorded anew."""

    def add(self, name: str, policy: BreakerPolicy) -> Breaker:
        """Return the breaker of a name, with this policy from now on."""
        breaker = self.by_name.get(name)
        if breaker is None:
            breaker = self.by_name[name] = Breaker(name, policy, self._recorded.get(name))
            if breaker.until_ms:
                self._call_back(breaker.until_ms, name)
        breaker.policy = policy
        return breaker

    def take_changes(self) -> list[SaveBreaker]:
        """Return what has to be recorded since the last call."""
        changed, self.changed = self.changed, []
        return [SaveBreaker(breaker.record()) for breaker in changed]

    def succeeded(self, breakers: Sequence[Breaker], task: Task) -> None:
        """Tell breakers of an attempt that succeeded."""
        for breaker in breakers:
            if (breaker.failures or breaker.probe is not None) and breaker.succeeded(task):
                self._closed(breaker)

    def failed(
        self, breakers: Sequence[Breaker], task: Task, error_class: ErrorClass, now_ms: int, *, is_last: bool
    ) -> None:
        """Tell breakers of an attempt that failed; the first is that of its dataset, the others of its pools.

        A worker may die by accident: that counts when the task is given up. A pool is to blame for some classes of
        failures; the others show that it answers. Data that is refused says nothing of the dataset's other partitions:
        a month of them in a row must not hold the rest of the year back.
        """
        for number, breaker in enumerate(breakers):
            is_pool, is_lost = number > 0, error_class is ErrorClass.LOST
            is_own = error_class is not ErrorClass.DATA and (is_last or not is_lost)
            if (error_class in BLAMED_ON_RESOURCE) if is_pool else is_own:
                if breaker.failed(task, now_ms):
                    self._opened(breaker)
            elif is_pool and not is_lost:
                if breaker.succeeded(task):
                    self._closed(breaker)
            elif breaker.gave_up(task):
                release(breaker)

    def gave_up(self, breakers: Sequence[Breaker], task: Task) -> None:
        """Tell breakers of an attempt that ended without an answer."""
        for breaker in breakers:
            if breaker.gave_up(task):
                release(breaker)

    def ranged_ended(self, breakers: Sequence[Breaker], task: Task, ranged: RangedAttempt, now_ms: int) -> None:
        """Tell breakers once of a ranged attempt: it worked if any of its tasks did, else it failed if any did."""
        if ranged.has_succeeded:
            self.succeeded(breakers, task)
        elif ranged.error_class is not None:
            self.failed(breakers, task, ranged.error_class, now_ms, is_last=False)
        else:
            self.gave_up(breakers, task)

    def trip(self, name: str, now_ms: int) -> None:
        """Open a breaker."""
        breaker = self._named(name)
        breaker.trip(now_ms)
        self._opened(breaker)

    def reset(self, name: str) -> None:
        """Close a breaker."""
        breaker = self._named(name)
        breaker.reset()
        self._closed(breaker)

    def elapse(self, name: str, now_ms: int) -> None:
        """Let a breaker know how late it is."""
        breaker = self._named(name)
        if breaker.elapse(now_ms):
            self._closed(breaker)

    def _named(self, name: str) -> Breaker:
        if name not in self.by_name:
            raise InternalError(f"there is no breaker {name}")
        return self.by_name[name]

    def _opened(self, breaker: Breaker) -> None:
        self.changed.append(breaker)
        self._call_back(breaker.until_ms, breaker.name)

    def _closed(self, breaker: Breaker) -> None:
        self.changed.append(breaker)
        release(breaker)
