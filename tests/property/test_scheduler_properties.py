from __future__ import annotations

import os
import subprocess
import sys

import pytest
import scheduler_scenes as scenes
from hypothesis import given, settings
from hypothesis import strategies as st
from scheduler_scenes import RUN, make_scene, make_world, verdict

from headgate.core.events import CancelRequested, DrainRequested
from headgate.model.run import RunState, TaskState

SEEDS = st.integers(0, 2**32)
SHAPES = {"seed": SEEDS, "n_stages": st.integers(1, 5), "n_tasks": st.integers(0, 8), "ended": st.booleans()}
MANY = settings(max_examples=150, deadline=None)


@MANY
@given(**SHAPES)
def test_any_order_of_events_ends_as_the_model_says(seed, n_stages, n_tasks, ended):
    scene = make_scene(seed, n_stages=n_stages, n_tasks=n_tasks, ended=ended)
    world = make_world(scene, seed)
    world.submit()
    assert world.drive()
    assert world.final() == scenes.expected(scene)
    assert world.ended is verdict(world.final())


@MANY
@given(**SHAPES, crashes=st.lists(st.integers(0, 30), max_size=4))
def test_crashes_do_not_change_how_a_run_ends(seed, n_stages, n_tasks, ended, crashes):
    first = scene = make_scene(seed, n_stages=n_stages, n_tasks=n_tasks, ended=ended)
    for session, steps in enumerate(crashes):
        world = make_world(scene, seed + session)
        world.submit()
        world.drive(most=steps)
        scene = world.recorded()
    world = make_world(scene, seed)
    world.submit()
    assert world.drive()
    assert world.final() == scenes.expected(first)


@MANY
@given(**SHAPES, steps=st.integers(0, 30))
def test_a_drained_run_starts_nothing_more_and_can_be_taken_up(seed, n_stages, n_tasks, ended, steps):
    scene = make_scene(seed, n_stages=n_stages, n_tasks=n_tasks, ended=ended)
    world = make_world(scene, seed)
    world.submit()
    world.drive(most=steps)
    world.closed = True
    world.tell(DrainRequested(RUN))
    assert world.drive()
    assert world.ended in (RunState.INTERRUPTED, verdict(scenes.expected(scene)))
    again = make_world(world.recorded(), seed + 1)
    again.submit()
    assert again.drive()
    assert again.final() == scenes.expected(scene)


@MANY
@given(**SHAPES, steps=st.integers(0, 30), drain_first=st.booleans())
def test_a_cancelled_run_ends_everything(seed, n_stages, n_tasks, ended, steps, drain_first):
    scene = make_scene(seed, n_stages=n_stages, n_tasks=n_tasks, ended=ended)
    world = make_world(scene, seed)
    world.submit()
    over = world.drive(most=steps)
    world.closed = True
    if drain_first:
        world.tell(DrainRequested(RUN))
        over = over or world.ended is not None
    running = set(world.running)
    world.tell(CancelRequested(RUN))
    assert world.stopping == running
    assert world.drive()
    if over:
        return
    assert world.ended is RunState.CANCELLED
    assert not {TaskState.WAITING, TaskState.READY, TaskState.RUNNING} & {s for row in world.final() for s in row}


@MANY
@given(**SHAPES)
def test_every_kind_of_edge_acts_as_its_list(seed, n_stages, n_tasks, ended):
    scene = make_scene(seed, n_stages=n_stages, n_tasks=n_tasks, ended=ended)
    short, long = make_world(scene, seed), make_world(scene, seed)
    steps = [short.submit(), long.submit(scene.as_lists())]
    while True:
        assert steps[0].effects == steps[1].effects
        assert sorted(steps[0].transitions) == sorted(steps[1].transitions)
        if short.ended is not None:
            break
        steps = [short.step(), long.step()]


@settings(max_examples=8, deadline=None)
@given(seed=SEEDS)
def test_ranges_wide_enough_for_numpy_act_as_their_lists(seed):
    scene = make_scene(seed, n_stages=3, n_tasks=90, ended=False)
    short, long = make_world(scene, seed), make_world(scene, seed)
    steps = [short.submit(), long.submit(scene.as_lists())]
    for _ in range(25):
        assert steps[0].effects == steps[1].effects
        assert sorted(steps[0].transitions) == sorted(steps[1].transitions)
        steps = [short.step(), long.step()]


@pytest.mark.slow
def test_the_seed_of_hashing_changes_nothing():
    told = [
        subprocess.run(
            [sys.executable, scenes.__file__],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    ]
    assert told[0] == told[1]
    assert len(told[0]) > 1000


@pytest.mark.slow
@settings(max_examples=400, deadline=None)
@given(seed=SEEDS, crashes=st.lists(st.integers(0, 60), max_size=6))
def test_many_larger_runs_survive_crashes(seed, crashes):
    first = scene = make_scene(seed, n_stages=6, n_tasks=20, ended=True)
    for session, steps in enumerate(crashes):
        world = make_world(scene, seed + session)
        world.submit()
        world.drive(most=steps)
        scene = world.recorded()
    world = make_world(scene, seed)
    world.submit()
    assert world.drive()
    assert world.final() == scenes.expected(first)
