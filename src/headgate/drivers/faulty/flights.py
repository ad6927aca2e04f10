"""The attempts that run, as far as the scheduler knows, and every limit on how many may, counted attempt by attempt."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from headgate.core.events import AttemptFailed, AttemptReturned
from headgate.drivers.faulty.violation import Violation

if TYPE_CHECKING:
    from headgate.core.effects import StartAttempt
    from headgate.core.events import Ended
    from headgate.drivers.faulty.luck import Luck
    from headgate.drivers.faulty.scene import Partition, Scene, Table
    from headgate.model.policy import ServiceClass

Key = tuple[str, int]
"""A run and a task."""


@dataclass(slots=True, eq=False)
class Flight:
    """An attempt that runs, for one task or for several neighbours.

    Args:
        run: Its run.
        table: Its dataset.
        service_class: The class of its run.
        half_open: Breakers that were half open when it started, and for the how manieth time.
        latest: The last of its partitions.
        count: How many it has.
        ended: How many of them have ended.
        returned: How many of those came back unstarted.
    """

    run: str
    table: Table
    service_class: ServiceClass
    half_open: frozenset[tuple[str, int]]
    latest: Partition
    count: int = 1
    ended: int = 0
    returned: int = 0


class Flights:
    """All attempts that run.

    Args:
        scene: The rules.
        luck: Where to count what was seen.
    """

    def __init__(self, scene: Scene, luck: Luck) -> None:
        self._scene = scene
        self._luck = luck
        self._classes = {one.name: one for one in scene.classes}
        self._apart: set[Key] = set()
        self.of_task: dict[Key, Flight] = {}
        self.pools = {name: pool.slots for name, pool in scene.pools.items()}
        self.limits: dict[str, int | None] = {}
        """How many attempts of each run may be."""

    def submitted(self, run: str, concurrency: int | None) -> None:
        """Begin anew with a run."""
        self.limits[run] = concurrency
        self._apart = {key for key in self._apart if key[0] != run}

    def ended(self, event: Ended) -> Flight:
        """Return the attempt of a task that has ended."""
        key = (event.run, event.task)
        flight = self.of_task.pop(key)
        flight.ended += 1
        flight.returned += isinstance(event, AttemptReturned)
        if flight.count > 1 and isinstance(event, AttemptFailed):
            self._apart.add(key)
        return flight

    def started(self, where: str, start: StartAttempt, half_open: frozenset[tuple[str, int]], now_ms: int) -> Flight:
        """Take in a start. Raises `Violation` if it must not be."""
        request = self._scene.requests[start.run]
        table = self._scene.tables[request.parts[start.stage].table]
        partition = request.partition(start.task)
        if start.lead in (None, start.task):
            flight = Flight(start.run, table, self._classes[request.service_class], half_open, partition)
        else:
            flight = self._join(where, start, partition)
        self.of_task[start.run, start.task] = flight
        self._limits_hold(where, start, flight, now_ms)
        return flight

    def _join(self, where: str, start: StartAttempt, partition: Partition) -> Flight:
        assert start.lead is not None
        flight = self.of_task[start.run, start.lead]
        flight.count += 1
        if partition != (flight.latest[0], flight.latest[1] + 1):
            raise Violation(f"{where} together with {flight.latest}, which is no neighbour of {partition}")
        flight.latest = partition
        if flight.table.can_yield or flight.count > flight.table.batch:
            raise Violation(f"{where} together with others, {flight.count} of at most {flight.table.batch}")
        if not self._apart.isdisjoint({(start.run, start.task), (start.run, start.lead)}) or start.number > 1:
            raise Violation(f"{where} together with others after it had failed")
        self._luck.note("ranged")
        return flight

    def _limits_hold(self, where: str, start: StartAttempt, mine: Flight, now_ms: int) -> None:
        flights = list(dict.fromkeys(self.of_task.values()))
        for name, _ in mine.table.pools:
            taken = sum(slots for flight in flights for pool, slots in flight.table.pools if pool == name)
            if taken > self.pools[name]:
                raise Violation(f"{where}: pool {name} has {self.pools[name]} slots, {taken} are taken")
        bound = self._scene.requests[start.run].parts[start.stage].concurrency
        if bound is not None and sum(flight.table is mine.table for flight in flights) > bound:
            raise Violation(f"{where} beyond {bound} of {mine.table.name}")
        limit = self.limits[start.run]
        if limit is not None and sum(flight.run == start.run for flight in flights) > limit:
            raise Violation(f"{where} beyond {limit} of the run")
        if self._scene.total is not None and len(flights) > self._scene.total:
            raise Violation(f"{where} beyond {self._scene.total} in all")
        name, (slots, depth) = mine.service_class.name, self._scene.lanes[mine.table.lane]
        beside = [flight for flight in flights if flight.table.lane is mine.table.lane]
        used, most = sum(one.service_class.name == name for one in beside), _most(mine.service_class, slots, now_ms)
        most = most * depth if mine.service_class.slots is None else min(most * depth, mine.service_class.slots)
        if used > most or len(beside) > slots * depth:
            raise Violation(f"{where}: {used} of {name} run, {most} may; {len(beside)} in {slots * depth} slots")
        total, in_all = self._scene.total, sum(one.service_class.name == name for one in flights)
        if total is not None and in_all > _most(mine.service_class, total, now_ms):
            raise Violation(f"{where}: {in_all} of {name} run in all, beyond its share of {total}")
        for period in mine.half_open:
            if sum(period in flight.half_open for flight in flights) > 1:
                raise Violation(f"{where} while breaker {period[0]} is half open and has a probe")


def _most(mine: ServiceClass, slots: int, now_ms: int) -> int:
    """Return how many slots of a lane a class may have now. Windows here are of one day, in UTC."""
    minute = now_ms % 86_400_000 // 60_000
    shares = [w.ceiling for w in mine.windows if w.start_minute <= minute < w.end_minute]
    share = min([mine.ceiling, *shares])
    return max(1, int(share * slots + 1e-9)) if share > 0 else 0
