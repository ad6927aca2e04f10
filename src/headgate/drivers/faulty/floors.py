"""What floors owe, counted from starts alone: no class gets less of its lane than its floor, nor more in its name."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from headgate.core.effects import StartAttempt
from headgate.core.queues import MOST_CREDIT_MS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from headgate.core.effects import Step
    from headgate.core.events import Lane
    from headgate.core.live_run import LiveRun
    from headgate.core.scheduler import Scheduler
    from headgate.model.policy import ServiceClass

_ROUNDING_MS = 1e-6


@dataclass(slots=True)
class Share:
    """How a class stands to its floor in a lane; ms of slot time.

    Args:
        behind_ms: By how much it lags since it has had something to start without a break.
        largest_ms: The longest attempts, expected, of all that it could start in that time.
        beside_ms: The longest that was started in the lane in that time.
        most_ms: What it may be owed at most, if it always had something to start.
    """

    behind_ms: float = 0.0
    largest_ms: float = 0.0
    beside_ms: float = 0.0
    most_ms: float = 0.0


class Floors:
    """Follows every class with a floor, in every lane.

    Args:
        scheduler: Who is watched.
    """

    def __init__(self, scheduler: Scheduler) -> None:
        self._scheduler = scheduler
        floored = [one for one in scheduler.classes if one.floor > 0]
        self._shares = {lane: [(one, Share()) for one in floored] for lane in scheduler.lanes}
        self.owed: set[tuple[str, int]] = set()
        """Starts of the latest step that a floor may have owed."""

    def after(self, step: Step) -> list[str]:
        """Take in a step; return which classes were kept below their floors."""
        self.owed.clear()
        starts: dict[Lane, list[tuple[ServiceClass, float]]] = {lane: [] for lane in self._shares}
        for effect in step.effects:
            if isinstance(effect, StartAttempt) and effect.lead in (None, effect.task):
                live = self._scheduler.runs[effect.run]
                stage = live.stages[effect.stage]
                lane, cost_ms = stage.stage.lane, stage.typical_ms
                mine = self._scheduler.lanes[lane].by_name[live.service_class].service_class
                starts[lane].append((mine, cost_ms))
                self._grant(lane, mine, cost_ms, (effect.run, effect.task))
        return [
            f"{mine.name} could start {share.largest_ms} ms in {lane}, and is {share.behind_ms} ms behind its floor"
            for lane, shares in self._shares.items()
            for mine, share in shares
            if self._is_behind(lane, mine, share, starts[lane])
        ]

    def _grant(self, lane: Lane, mine: ServiceClass, cost_ms: float, key: tuple[str, int]) -> None:
        for one, share in self._shares[lane]:
            if one is mine and share.most_ms >= min(cost_ms, MOST_CREDIT_MS) - _ROUNDING_MS:
                self.owed.add(key)
            share.most_ms = min(share.most_ms + one.floor * cost_ms, MOST_CREDIT_MS)
            if one is mine:
                share.most_ms = max(0.0, share.most_ms - cost_ms)

    def _is_behind(
        self, lane: Lane, mine: ServiceClass, share: Share, starts: list[tuple[ServiceClass, float]]
    ) -> bool:
        # A step that has begun to start things makes nothing ready: what it left could be started all along.
        left = [
            stage_ms
            for live in self._scheduler.runs.values()
            if live.service_class == mine.name
            for stage_ms in startable(self._scheduler, lane, live)
        ]
        if not left:
            share.behind_ms = share.largest_ms = share.beside_ms = 0.0
            return False
        share.largest_ms = min(max(share.largest_ms, *left), MOST_CREDIT_MS)
        for one, cost_ms in starts:
            share.beside_ms = max(share.beside_ms, cost_ms)
            share.behind_ms += mine.floor * cost_ms
            if one is mine:
                share.behind_ms = max(0.0, share.behind_ms - cost_ms)
        share.behind_ms = min(share.behind_ms, MOST_CREDIT_MS)
        # It is next as soon as it lags by one attempt of its own; another floor may be before it, once.
        return share.behind_ms > share.largest_ms + share.beside_ms + _ROUNDING_MS


def startable(scheduler: Scheduler, lane: Lane, live: LiveRun) -> Iterator[float]:
    """Yield how long attempts take, expected, that a run could start in a lane if only a slot were free for it."""
    queue = scheduler.lanes[lane].by_name[live.service_class]
    if queue.used < queue.allowed and scheduler.in_all.lets_in(queue.service_class) and live.may_start():
        for stage in live.stages:
            if stage.ready and stage.stage.lane is lane and stage.obstacle() is None:
                yield stage.typical_ms
