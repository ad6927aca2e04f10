"""What must hold of the state store after every turn and at the end, by plain reading of its rows."""

from __future__ import annotations

from typing import TYPE_CHECKING

from headgate.drivers.faulty.scene import ALWAYS, Sharing
from headgate.drivers.faulty.violation import Violation
from headgate.model.run import AttemptState

if TYPE_CHECKING:
    from headgate.drivers.faulty.model_store import ModelStore
    from headgate.drivers.faulty.scene import Partition, Scene


class Ledger:
    """Remembers what was durable, and compares.

    Args:
        scene: What was drawn.
        store: What is durable.
    """

    def __init__(self, scene: Scene, store: ModelStore) -> None:
        self._scene = scene
        self._store = store
        self._versions = dict(store.versions)
        self._heads = dict(store.heads)
        self._checkpoints: set[int] = set()
        self._newest: dict[Partition, int] = {}
        self._dead: set[int] = set()

    def after_turn(self) -> None:
        """Check what a turn, or half a turn, left."""
        store = self._store
        self._immutable()
        for partition, head in store.heads.items():
            if head < self._heads.get(partition, 0):
                raise Violation(f"the head of {partition} went back from {self._heads[partition]} to {head}")
            if head != self._heads.get(partition) and head not in store.checkpoints:
                raise Violation(f"the head of {partition} is version {head}, which has no checkpoint")
        if self._heads.keys() - store.heads.keys():
            raise Violation("a head is gone")
        self._heads = dict(store.heads)
        live: set[tuple[str | None, Partition]] = set()
        for number, row in store.attempts.items():
            if row.state is not AttemptState.RUNNING:
                self._dead.add(number)
                continue
            if number in self._dead:
                raise Violation(f"attempt {number} had ended, and runs")
            key = (row.run if self._scene.sharing is Sharing.BLIND else None, row.partition)
            if key in live:
                raise Violation(f"two attempts for {row.partition} are live, one of them of run {row.run}")
            live.add(key)

    def at_end(self) -> None:
        """Check that nothing is live, and that each partition is what its run says."""
        live = [number for number, row in self._store.attempts.items() if row.state is AttemptState.RUNNING]
        if live:
            raise Violation(f"all runs have ended, and attempts are live: {live}")
        made: dict[tuple[str, Partition], int] = {}
        for number, checkpoint in self._store.checkpoints.items():
            run, partition = checkpoint.run, checkpoint.partition
            if (run, partition) in made:
                raise Violation(f"run {run} made {partition} twice: attempts {made[run, partition]} and {number}")
            made[run, partition] = number
            if self._scene.fates[partition].failures >= ALWAYS and self._scene.fates[partition].error is not None:
                raise Violation(f"run {run} made {partition}, which always fails")

    def _immutable(self) -> None:
        store = self._store
        for version, content in self._versions.items():
            if store.versions.get(version) != content:
                raise Violation(f"version {version} was {content}, and is {store.versions.get(version)}")
        self._versions = dict(store.versions)
        gone = self._checkpoints - store.checkpoints.keys()
        if gone:
            raise Violation(f"checkpoints are gone: {sorted(gone)}")
        late = [number for number in store.checkpoints.keys() - self._checkpoints if number in self._dead]
        if late:
            raise Violation(f"attempts had ended, and published: {sorted(late)}")
        for number in sorted(store.checkpoints.keys() - self._checkpoints):
            partition = store.checkpoints[number].partition
            newest = self._newest.get(partition, 0)
            if number < newest and self._scene.sharing is not Sharing.BLIND:
                raise Violation(f"attempt {number} was published after attempt {newest}, which made {partition} anew")
            self._newest[partition] = max(number, newest)
        self._checkpoints = set(store.checkpoints)
