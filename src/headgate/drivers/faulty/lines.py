"""Runs that have partitions in common, followed from events and effects alone: who builds, who waits, who takes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from headgate.core.events import AttemptCancelled, AttemptSucceeded
from headgate.core.states import ENDED
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
        self._was_stopping = False
        """Whether the attempt that ended last had been asked to stop."""
        self._cancelled: set[str] = set()
        self.inherited: set[Key] = set()
        """Tasks that were skipped since a task of another run had made their partition."""

    def submitted(self, run: str) -> None:
        """Take in a run that begins or goes on."""
        self.finished(run)
        self._cancelled.discard(run)
        self.inherited = {key for key in self.inherited if key[0] != run}
        request = self._scene.requests[run]
        for task, partition in enumerate(request.partitions()):
            places = self._places.setdefault(partition, {})
            for key in places.items():
                self._takes.setdefault(key, True)
            if places:
                self._takes[run, task] = request.joins
            places[run] = task

    def finished(self, run: str) -> None:
        """Take out a run that has ended."""
        for places in self._places.values():
            places.pop(run, None)
        self._takes = {key: takes for key, takes in self._takes.items() if key[0] != run}
        self._revived = {key for key in self._revived if key[0] != run}

    def cancelled(self, run: str) -> None:
        """Remember that a person ends a run."""
        self._cancelled.add(run)

    def stops(self, key: Key) -> None:
        """Remember that an attempt was asked to stop."""
        self._stopping.add(key)

    def is_stopped_for_other(self, event: Event) -> bool:
        """Return whether an attempt was stopped although nobody has cancelled its run."""
        return isinstance(event, AttemptCancelled) and event.run not in self._cancelled

    def revived(self, key: Key) -> None:
        """Let a task that gets another chance go behind the others."""
        self._takes[key] = True
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
            if self._rank(other) > self._rank(start.run) and (other, task) not in self._revived:
                raise Violation(f"{where} before run {other}, which is of a higher class and builds {partition}")
        self._building[partition] = key
        if self._made.get(partition, start.run) != start.run:
            self._luck.note("built after another run")

    def ended(self, event: Ended) -> None:
        """Take off the list what was being built."""
        key, partition = (event.run, event.task), self._partition(event.run, event.task)
        self._building.pop(partition, None)
        self._was_stopping = key in self._stopping
        self._stopping.discard(key)
        if self.is_stopped_for_other(event):
            if not self._was_stopping:
                raise Violation(f"task {event.task} of run {event.run} was stopped, and nobody asked for it")
            self._luck.note("stopped for another run")
        elif isinstance(event, AttemptSucceeded):
            self._made[partition] = event.run
            if self._was_stopping and event.run not in self._cancelled:
                self._luck.note("stopped for another run and ended all the same")

    def takes(self, event: Event, key: Key) -> bool:
        """Return whether a task that was skipped took what an attempt of another run has made just now."""
        if not isinstance(event, AttemptSucceeded) or event.run == key[0] or not self._takes.get(key):
            return False
        if self._partition(*key) != self._partition(event.run, event.task):
            return False
        self.inherited.add(key)
        if self._rank(event.run) > self._rank(key[0]):
            self._luck.note("taken over by a higher class")
        elif key not in self._revived:
            self._luck.note("joined")
        return True

    def after(self, event: Event) -> None:
        """Check that whoever was to take what was made has taken it. Raises `Violation` if somebody did not."""
        # One that was asked to stop was not the first any more: who is first builds the partition.
        if not isinstance(event, AttemptSucceeded) or self._was_stopping:
            return
        left = list(self._left_beside((event.run, event.task)))
        if left and all(self._takes[one] for one in left):
            raise Violation(f"task {event.task} of run {event.run} was made, and {left} wait for it all the same")

    def _left_beside(self, key: Key) -> Iterator[Key]:
        """Yield the tasks of other runs for the same partition that have not ended."""
        if self._scene.sharing is Sharing.LINES:
            for run, task in self._places[self._partition(*key)].items():
                if run != key[0] and self._states[run][task] not in ENDED:
                    yield run, task

    def _partition(self, run: str, task: int) -> Partition:
        return self._scene.requests[run].partition(task)

    def _rank(self, run: str) -> int:
        return self._ranks[self._scene.requests[run].service_class]
