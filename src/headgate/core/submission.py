"""How a submitted run joins the others: its tasks in arrays, its stages in queues, at the limits that all share."""

from __future__ import annotations

from typing import TYPE_CHECKING

from headgate.core.limit import Limit
from headgate.core.live_run import LiveRun
from headgate.core.queues import RunQueue, StageQueue
from headgate.core.task_table import TaskTable

if TYPE_CHECKING:
    from collections.abc import Mapping

    from headgate.core.admission import LaneQueue
    from headgate.core.breakers import Breakers
    from headgate.core.events import Lane, RunSubmitted
    from headgate.core.limit import PoolLimit


class Submissions:
    """Makes runs of submissions, in their order.

    Args:
        lanes: Where attempts queue.
        pools: The pools, by name.
        breakers: All breakers.
        owner_weights: Shares of owners; 1 for who is not named.
        traced: Whether transitions of tasks are remembered.
    """

    def __init__(
        self,
        lanes: Mapping[Lane, LaneQueue],
        pools: Mapping[str, PoolLimit],
        breakers: Breakers,
        owner_weights: Mapping[str, float],
        *,
        traced: bool,
    ) -> None:
        self._lanes = lanes
        self._pools = pools
        self._breakers = breakers
        self._owner_weights = owner_weights
        self._traced = traced
        self.datasets: dict[str, Limit] = {}
        """The attempts of each dataset that was ever submitted."""
        self._count = 0

    def take(self, event: RunSubmitted) -> LiveRun:
        """Return the run of a submission; what is ready of it does not queue yet."""
        table = TaskTable(event.stages, traced=self._traced)
        rank = next(iter(self._lanes.values())).by_name[event.service_class].service_class.priority
        live = LiveRun(event.run, table, event.service_class, event.owner, event.priority, event.concurrency, rank)
        weight = self._owner_weights.get(event.owner, 1.0)
        lines: dict[Lane, RunQueue] = {}
        for number, stage in enumerate(event.stages):
            if stage.lane not in lines:
                owner = self._lanes[stage.lane].owner(event.service_class, event.owner, weight)
                lines[stage.lane] = RunQueue(live, self._count, owner)
            line = lines[stage.lane]
            queue = StageQueue(
                live,
                number,
                stage,
                ready=table.ready[number],
                pools=tuple((self._pools[name], slots) for name, slots in stage.pools),
                dataset=self.datasets.setdefault(stage.dataset, Limit(stage.dataset)),
                breakers=(
                    self._breakers.add(f"dataset:{stage.dataset}", stage.breaker),
                    *(self._breakers.by_name[f"pool:{name}"] for name, _ in stage.pools),
                ),
                line=line,
            )
            line.stages[number] = queue
            live.stages.append(queue)
        live.lines = list(lines.values())
        self._count += 1
        return live
