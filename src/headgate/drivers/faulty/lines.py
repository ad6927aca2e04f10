"""Runs that have partitions in common, followed from events and effects alone: who builds, who waits, who takes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from headgate.core.events import AttemptCancelled, AttemptSucceeded, RunSubmitted
from headgate.core.states import DONE, ENDED
from headgate.drivers.faulty.scene import Sharing
from headgate.drivers.faulty.violation import Violation
from headgate.model.run import TaskState

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from headgate.core.effects import StartAttempt
    from headgate.core.events import Ended, Event
    from headgate.drivers.faulty.flights import Key
    from headgate.drivers.faulty.luck import Luck
    from headgate.drivers.faulty.scene import Partition, Scene


class Lines:
    """Who has which partition, in scenes in which runs know of each other.

    Args:
        scene: The rules.
        luck: Where to count what was seen.
        states: States of the tasks of each run; kept by who watches.
    """

    def __init__(self, scene: Scene, luck: Luck, states: Mapping[str, Sequence[TaskState]]) -> None:
        self._scene = scene
        self._luck = luck
        self._states = states
        self._ranks = {one.name: one.priority for one in scene.classes}
        self._places: dict[Partition, dict[str, int]] = {}
        """The tasks of runs that live, by run in the order of submission."""
        self._takes: dict[Key, bool] = {}
        """Whether a task takes what is made before it; only those that ever were in a line."""
        self._revived: set[Key] = set()
        self._building: dict[Partition, Key] = {}
        self._made: dict[Partition, str] = {}
        self._stopping: set[Key] = set()
        self._waited: dict[Key, AttemptSucceeded] = {}
        """What was made last while a task waited for it."""
        self._cancelled: set[str] = set()
        self._settled: dict[Key, TaskState] = {}

    def submitted(self, run: str) -> None:
        """Take in a run that begins or goes on."""
        self.finished(run)
        self._cancelled.discard(run)
        self._settled = {key: state for key, state in self._settled.items() if key[0] != run}
        request = self._scene.requests[run]
        for task, partition in enumerate(request.partitions()):
            if self._scene.sharing is Sharing.LINES and self._states[run][task] is TaskState.SUCCEEDED:
                # It may have been made for something that was taken, which is not recorded.
                self._settled[run, task] = TaskState.SUCCEEDED
            places = self._places.setdefault(partition, {})
            for key in places.items():
                self._takes.setdefault(key, True)
            if places:
                self._takes[run, task] = request.joins
            places[run] = task

    def settled(self, run: str) -> dict[int, TaskState]:
        """Return which tasks of a run ended by what others have made, and how: what they read does not tell."""
        return {task: state for (owner, task), state in self._settled.items() if owner == run}

    def finished(self, run: str) -> None:
        """Take out a run that has ended."""
        for places in self._places.values():
            places.pop(run, None)
        self._takes = {key: takes for key, takes in self._takes.items() if key[0] != run}
        self._revived = {key for key in self._revived if key[0] != run}
        self._waited = {key: made for key, made in self._waited.items() if key[0] != run}

    def cancelled(self, run: str) -> None:
        """Remember that a person ends a run."""
        self._cancelled.add(run)

    def is_cancelled(self, run: str) -> bool:
        """Return whether a person has ended a run."""
        return run in self._cancelled

    def stops(self, key: Key) -> None:
        """Remember that an attempt was asked to stop."""
        self._stopping.add(key)

    def is_stopped_for_other(self, event: Event) -> bool:
        """Return whether an attempt was stopped although nobody has cancelled its run."""
        return isinstance(event, AttemptCancelled) and event.run not in self._cancelled

    def revived(self, key: Key) -> None:
        """Let a task that gets another chance go behind the others."""
        self._takes[key] = True
        self._waited.pop(key, None)
        self._revived.add(key)
        if any(self._left_beside(key)):
            self._luck.note("revived into a line")

    def started(self, where: str, start: StartAttempt) -> None:
        """Take in a start. Raises `Violation` if another run builds the partition, or is to build it before."""
        key, partition = (start.run, start.task), self._partition(start.run, start.task)
        if self._scene.sharing is not Sharing.LINES:
            return
        if partition in self._building:
            raise Violation(f"{where} while run {self._building[partition][0]} builds {partition}")
        for other, task in self._left_beside(key):
            if self._goes_before((other, task), start.run):
                raise Violation(f"{where} before run {other}, which is of a higher class and builds {partition}")
        self._building[partition] = key
        if self._made.get(partition, start.run) != start.run:
            self._luck.note("built after another run")

    def ended(self, event: Ended) -> None:
        """Take off the list what was being built."""
        key, partition = (event.run, event.task), self._partition(event.run, event.task)
        self._building.pop(partition, None)
        was_stopping = key in self._stopping
        self._stopping.discard(key)
        if self.is_stopped_for_other(event):
            if not was_stopping:
                raise Violation(f"task {event.task} of run {event.run} was stopped, and nobody asked for it")
            self._luck.note("stopped for another run")
        elif isinstance(event, AttemptSucceeded):
            self._made[partition] = event.run
            if was_stopping and event.run not in self._cancelled:
                self._luck.note("stopped for another run and ended all the same")
            if not any(self._goes_before(one, event.run) for one in self._left_beside(key)):
                made = AttemptSucceeded(*key, changed=event.changed or self.inherits_change(key))
                self._waited.update(dict.fromkeys(self._left_beside(key), made))

    def taken(self, key: Key) -> AttemptSucceeded | None:
        """Return what a task that was skipped took: what an attempt of another run had made meanwhile, or nothing.

        Raises `Violation` if something that it reads might still have changed.
        """
        made = self._waited.get(key)
        if made is None or not self._takes[key]:
            return None
        if self._waits_for_upstream(key):
            raise Violation(f"task {key[1]} of run {key[0]} was skipped before what it reads was made")
        self._settled[key] = TaskState.SKIPPED
        if self._rank(made.run) > self._rank(key[0]):
            self._luck.note("taken over by a higher class")
        elif key not in self._revived:
            self._luck.note("joined")
        return made

    def inherits_change(self, key: Key) -> bool:
        """Return whether a task took new content of another run before it built its partition once more."""
        made = self._waited.get(key)
        return made is not None and self._takes[key] and made.changed

    def after(self, event: Event) -> None:
        """Check what follows for the others. Raises `Violation`.

        Whoever was to take what was made has taken it, and attempts of lower classes were asked to stop.
        """
        if isinstance(event, RunSubmitted):
            for task, partition in enumerate(self._scene.requests[event.run].partitions()):
                other = self._building.get(partition)
                is_before = other is not None and self._goes_before((event.run, task), other[0])
                if is_before and other not in self._stopping and self._states[event.run][task] not in ENDED:
                    raise Violation(f"run {event.run} goes before {other}, which was not asked to stop")
        if not isinstance(event, AttemptSucceeded):
            return
        left = list(self._left_beside((event.run, event.task)))
        # One that took it waits for what it reads in its own run, and the others wait for that.
        is_over = not any(map(self._waits_for_upstream, left))
        if left and is_over and all(self._takes[one] and self._has_waited(one, event) for one in left):
            raise Violation(f"task {event.task} of run {event.run} was made, and {left} wait for it all the same")

    def _left_beside(self, key: Key) -> Iterator[Key]:
        """Yield the tasks of other runs for the same partition that have not ended."""
        if self._scene.sharing is Sharing.LINES:
            for run, task in self._places[self._partition(*key)].items():
                if run != key[0] and self._states[run][task] not in ENDED:
                    yield run, task

    def _has_waited(self, key: Key, event: AttemptSucceeded) -> bool:
        made = self._waited.get(key)
        return made is not None and (made.run, made.task) == (event.run, event.task)

    def _waits_for_upstream(self, key: Key) -> bool:
        run, task = key
        states = self._states[run]
        return any(states[above] not in DONE for above in self._scene.upstream(self._scene.requests[run])[task])

    def _goes_before(self, key: Key, run: str) -> bool:
        """Return whether a task is before that of a run of a lower class."""
        return self._rank(key[0]) > self._rank(run) and key not in self._revived

    def _partition(self, run: str, task: int) -> Partition:
        return self._scene.requests[run].partition(task)

    def _rank(self, run: str) -> int:
        return self._ranks[self._scene.requests[run].service_class]
