"""Partitions that several live runs have in their plans: their tasks stand in line, and the first one builds.

A line is in the order of the classes' priorities, and of equal ones in that of submission. So a run of a higher class
goes before others that were there earlier: an attempt of theirs is stopped first, so that a partition never has two.
Each waits for the whole line before it, hence never in a circle: a task waits for the same partition in other runs, or
for partitions further upstream.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from headgate.core.states import ENDED
from headgate.model.run import TaskState

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from headgate.core.breaker import Task
    from headgate.core.events import RunSubmitted, Shared
    from headgate.core.live_run import LiveRun


@dataclass(slots=True, eq=False)
class _Place:
    """A task in a line.

    Args:
        run: Its run.
        task: The task.
        takes: Whether it takes what those before it make; otherwise it builds the partition once more.
        is_held: Whether it waits because of the line.
        made: Whether the partition was made while it waited, and that published new content; None if it was not.
    """

    run: LiveRun
    task: int
    takes: bool
    is_held: bool = False
    made: bool | None = None

    @property
    def state(self) -> int:
        return self.run.tasks.state[self.task]


@dataclass(slots=True, eq=False)
class _Line:
    """The tasks of several runs for one partition, those that have not ended."""

    places: list[_Place] = field(default_factory=list)

    def insert(self, place: _Place) -> None:
        """Let a task stand before all of lower rank."""
        at = next((n for n, other in enumerate(self.places) if other.run.rank < place.run.rank), len(self.places))
        self.places.insert(at, place)


class Overlaps:
    """The lines.

    Args:
        runs: The live runs, by id.
    """

    def __init__(self, runs: dict[str, LiveRun]) -> None:
        self._runs = runs
        self._lines: dict[str, dict[int, tuple[_Line, _Place]]] = {}
        """By run and task; also those of tasks that have ended, which may get another chance."""
        self._changed: dict[str, LiveRun] = {}
        """Runs in which something waits or goes on that did not before."""

    def __bool__(self) -> bool:
        """Return whether any runs have partitions in common."""
        return bool(self._lines)

    def submit(self, live: LiveRun, event: RunSubmitted) -> list[Task]:
        """Let the tasks of a run that begins stand in line; return tasks whose attempts have to stop for them."""
        joined: dict[int, _Line] = {}
        for shared in event.shared:
            holder = self._runs.get(shared.run)
            if holder is None or holder.finished:
                continue
            for mine, theirs in _pairs(live, holder, shared):
                # Who was there takes what is made before it: that is newer than what it was to make.
                line, _ = self._join(holder, theirs, joined.get(mine, _Line()), takes=True)
                if mine not in joined:
                    joined[mine], _ = self._join(live, mine, line, takes=event.joins)
        stopped: list[Task] = []
        for line in joined.values():
            self._arrange(line)
            stopped += [(p.run.id, p.task) for p in line.places[1:] if p.state == TaskState.RUNNING]
        return stopped

    def revived(self, live: LiveRun, tasks: Iterable[int]) -> None:
        """Let tasks that get another chance stand at the end of their lines."""
        lines = self._lines.get(live.id, {})
        for task in tasks if lines else ():
            if task in lines and live.tasks.state[task] not in ENDED:
                line, place = lines[task]
                place.takes, place.made = True, None
                line.places.append(place)
                self._arrange(line)

    def holder_of(self, run: str, tasks: range) -> str:
        """Return a run that waiting tasks of a run wait for."""
        for task, (line, place) in self._lines.get(run, {}).items():
            if task in tasks and place.is_held and place.state not in ENDED:
                other = next(
                    p for p in line.places if p is not place and (p.state == TaskState.RUNNING or not p.is_held)
                )
                return other.run.id
        return ""

    def settle(self) -> list[LiveRun]:
        """Let lines move up whose tasks have ended or stopped; return the runs in which something changed."""
        stirred = True
        while stirred:
            stirred = False
            for run in list(self._lines):
                live = self._runs[run]
                tasks = [*self._lines[run]] if live.finished else live.tasks.stirred
                live.tasks.stirred = []
                for task in tasks:
                    stirred = True
                    self._arrange(self._lines[run][task][0])
                if live.finished:
                    del self._lines[run]
        changed, self._changed = self._changed, {}
        return list(changed.values())

    def _join(self, live: LiveRun, task: int, line: _Line, *, takes: bool) -> tuple[_Line, _Place]:
        """Return the line and the place of a task; one without a line gets into this one."""
        lines = self._lines.setdefault(live.id, {})
        if task not in lines:
            place = _Place(live, task, takes)
            lines[task] = line, place
            live.tasks.watched.add(task)
            if place.state not in ENDED:
                line.insert(place)
        return lines[task]

    def _arrange(self, line: _Line) -> None:
        """Let those leave a line that have ended, and the first one start once nobody else in it runs."""
        while line.places and (line.places[0].run.finished or line.places[0].state in ENDED):
            first = line.places.pop(0)
            # One that was skipped as unchanged has made nothing for who was to build it for other reasons.
            if first.state == TaskState.SUCCEEDED:
                for place in line.places:
                    place.made = bool(first.run.tasks.changed[first.task])
            following = line.places[0] if line.places else None
            if following is not None and following.is_held and following.takes and following.made is not None:
                self._take(following, is_changed=following.made)
        line.places = [p for p in line.places if not p.run.finished and p.state not in ENDED]
        running = [p for p in line.places if p.state == TaskState.RUNNING]
        for place in line.places:
            is_free = place is line.places[0] and all(p is place for p in running)
            if place.state != TaskState.RUNNING and place.is_held == is_free:
                place.is_held = not is_free
                place.run.hold(place.task) if place.is_held else place.run.release(place.task)
                self._changed[place.run.id] = place.run

    def _take(self, place: _Place, *, is_changed: bool) -> None:
        place.is_held = False
        place.run.take(place.task, changed=is_changed)
        self._changed[place.run.id] = place.run


def _pairs(live: LiveRun, holder: LiveRun, shared: Shared) -> Iterator[tuple[int, int]]:
    """Yield the tasks of the same partitions, first that of the run that came later."""
    mine, theirs = live.tasks.base[shared.stage], holder.tasks.base[shared.other_stage]
    for position, other in zip(shared.positions.tolist(), shared.other_positions.tolist(), strict=True):
        yield mine + position, theirs + other
