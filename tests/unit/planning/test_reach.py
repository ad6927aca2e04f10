from __future__ import annotations

import numpy as np
import pytest
from planning_worlds import dataset, snapshot, source

from headgate.model.mapping import All, Offset, Trailing
from headgate.model.partitioning import daily, monthly
from headgate.planning.reach import downwards, spread, upwards

DAYS = daily("2013-03-25")  # seven of them have ended
WORLD = snapshot(
    source("files", DAYS),
    dataset("clean", DAYS, "files"),
    dataset("sum", DAYS, "clean", ("sum", Offset(-2))),
    dataset("week", DAYS, ("sum", Trailing(2))),
    dataset("month", monthly("2013-03-01"), "week"),
    dataset("beside", DAYS, "files"),
)


def at(name: str, *indices: int) -> dict[str, np.ndarray]:
    mask = np.zeros(WORLD.grids[name].size, dtype=bool)
    mask[list(indices)] = True
    return {name: mask}


def shown(masks: dict[str, np.ndarray]) -> dict[str, list[int]]:
    return {name: np.flatnonzero(mask).tolist() for name, mask in masks.items()}


@pytest.mark.parametrize(
    ("steps", "found"),
    [
        (0, {"week": [5]}),
        (1, {"week": [5], "sum": [4, 5]}),
        (2, {"week": [5], "sum": [2, 3, 4, 5], "clean": [4, 5]}),
        (3, {"week": [5], "sum": [0, 1, 2, 3, 4, 5], "clean": [2, 3, 4, 5], "files": [4, 5]}),
        (None, {"week": [5], "sum": [0, 1, 2, 3, 4, 5], "clean": [0, 1, 2, 3, 4, 5], "files": [0, 1, 2, 3, 4, 5]}),
        (9999, {"week": [5], "sum": [0, 1, 2, 3, 4, 5], "clean": [0, 1, 2, 3, 4, 5], "files": [0, 1, 2, 3, 4, 5]}),
    ],
)
def test_upwards(steps, found):
    assert shown(upwards(WORLD, at("week", 5), steps)) == found


@pytest.mark.parametrize(
    ("steps", "found"),
    [
        (0, {"clean": [3]}),
        (1, {"clean": [3], "sum": [3]}),
        (2, {"clean": [3], "sum": [3, 5], "week": [3, 4]}),
        (None, {"clean": [3], "sum": [3, 5], "week": [3, 4, 5, 6], "month": [0]}),
    ],
)
def test_downwards(steps, found):
    assert shown(downwards(WORLD, at("clean", 3), steps)) == found


def test_from_a_source():
    found = downwards(WORLD, at("files", 6), None)
    assert shown(found) == {"files": [6], "clean": [6], "sum": [6], "week": [6], "month": [0], "beside": [6]}
    assert shown(upwards(WORLD, at("files", 6), None)) == {"files": [6]}


def test_spreading_stays_inside_and_follows_what_it_should():
    inside = {name: np.ones(7, bool) for name in ("clean", "sum", "week")}
    inside["sum"][5] = False
    assert shown(spread(WORLD, at("clean", 1), inside, lambda _: True)) == {
        "clean": [1],
        "sum": [1, 3],
        "week": [1, 2, 3, 4],
    }
    no_self = spread(WORLD, at("clean", 1), inside, lambda entry: entry.dataset != "sum")
    assert shown(no_self) == {"clean": [1], "sum": [1], "week": []}


def test_what_is_given_is_left_as_it_was():
    start = at("clean", 3)
    downwards(WORLD, start, None)
    upwards(WORLD, start, None)
    assert shown(start) == {"clean": [3]}


def test_a_loop_that_reads_all_of_the_other():
    # Only the first day of `a` has nothing to wait for; what reads everything is reached from it.
    world = snapshot(dataset("a", DAYS, ("a", Offset(-1))), dataset("b", DAYS, ("a", All())))
    mask = np.zeros(7, bool)
    mask[5] = True
    assert shown(downwards(world, {"a": mask}, None)) == {"a": [5, 6], "b": list(range(7))}
