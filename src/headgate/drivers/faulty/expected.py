"""How the tasks of a run must have ended, by following what each one reads: a plain model, with no scheduler in it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from headgate.core.states import HALTED
from headgate.drivers.faulty.scene import ALWAYS
from headgate.model.run import TaskState

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence, Set

    from headgate.drivers.faulty.scene import Request, Scene


def unexpected(
    scene: Scene,
    request: Request,
    states: Sequence[TaskState],
    changed: Sequence[bool],
    *,
    unlucky: Set[tuple[str, int]],
    settled: Mapping[int, TaskState],
) -> list[str]:
    """Return which tasks of a run that came to its end by itself did not end as they must.

    Args:
        scene: What was drawn.
        request: The run.
        states: How its tasks ended.
        changed: Which made other content than there was.
        unlucky: Tasks that met failures which were not their fate: they may have failed by those.
        settled: Tasks that ended by what other runs have made, and how.
    """
    found = []
    skippable = [one for part in request.parts for one in part.skippable]
    blocked = [one for part in request.parts for one in part.blocked]
    for task, (upstream, partition) in enumerate(zip(scene.upstream(request), request.partitions(), strict=True)):
        fate = scene.fates[partition]
        if task in settled:
            allowed = {settled[task]}
        elif blocked[task] or any(states[above] in HALTED for above in upstream):
            allowed = {TaskState.BLOCKED}
        elif skippable[task] and not any(changed[above] for above in upstream):
            allowed = {TaskState.SKIPPED}
        elif fate.error is not None and fate.failures >= ALWAYS:
            allowed = {TaskState.FAILED}
        elif fate.error is not None or (request.run, task) in unlucky:
            allowed = {TaskState.FAILED, TaskState.SUCCEEDED}
        else:
            allowed = {TaskState.SUCCEEDED}
        if states[task] not in allowed:
            must = " or ".join(sorted(state.name for state in allowed))
            found.append(f"task {task} of run {request.run} ended as {states[task].name}, it must be {must}")
    return found
