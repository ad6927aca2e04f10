"""The longest way to the end, against a plain recursive model."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from itertools import pairwise
from random import Random

from hypothesis import given
from hypothesis import strategies as st
from scheduler_scenes import Scene, make_scene

from headgate.model.run import TaskState
from headgate.planning.critical import longest_chain, longest_left

scenes = st.builds(
    make_scene, st.integers(0, 2**32), n_stages=st.integers(1, 5), n_tasks=st.just(8), ended=st.booleans()
)


def acyclic(scene: Scene, seed: int) -> Scene:
    """Return the scene without edges to later stages, each stage with a duration."""
    random = Random(seed)
    stages, reads = [], []
    for number, (stage, lists) in enumerate(zip(scene.stages, scene.reads, strict=True)):
        stages.append(
            replace(
                stage,
                edges=tuple(edge for edge in stage.edges if edge.upstream <= number),
                typical_ms=float(random.randint(1, 9)),
            )
        )
        reads.append(tuple(pair for pair in lists if pair[0] <= number))
    return replace(scene, stages=tuple(stages), reads=tuple(reads))


def own_ms(scene: Scene, stage: int, at: int) -> float:
    declared = scene.stages[stage]
    return declared.typical_ms if declared.states[at] == TaskState.WAITING else 0.0


def by_recursion(scene: Scene) -> list[list[float]]:
    readers: dict[tuple[int, int], list[tuple[int, int]]] = {}
    for stage, reads in enumerate(scene.reads):
        for above, lists in reads:
            for at, positions in enumerate(lists):
                for position in positions:
                    readers.setdefault((above, position), []).append((stage, at))

    @cache
    def left(stage: int, at: int) -> float:
        return own_ms(scene, stage, at) + max((left(*reader) for reader in readers.get((stage, at), [])), default=0.0)

    return [[left(number, at) for at in range(len(stage.states))] for number, stage in enumerate(scene.stages)]


@given(scenes, st.integers(0, 2**32))
def test_the_longest_way_is_that_of_the_model(scene: Scene, seed: int):
    scene = acyclic(scene, seed)
    assert [ways.tolist() for ways in longest_left(scene.stages)] == by_recursion(scene)


@given(scenes, st.integers(0, 2**32))
def test_the_longest_chain_is_a_chain_and_as_long_as_any(scene: Scene, seed: int):
    scene = acyclic(scene, seed)
    chain = longest_chain(scene.stages)
    longest = max((ways for stage in by_recursion(scene) for ways in stage), default=0.0)
    assert sum(own_ms(scene, *task) for task in chain) == longest
    for (above, position), (stage, at) in pairwise(chain):
        assert any(one == above and position in lists[at] for one, lists in scene.reads[stage])
