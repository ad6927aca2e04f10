from __future__ import annotations

import numpy as np
import pytest

from headgate.core.edges import Edge, ListEdge, RangeEdge, SameEdge, SharedEdge

# What each of four tasks reads of five upstream positions, in the form that each kind of edge can hold.
ROLLING = RangeEdge(0, np.array([0, 0, 2, 4], np.int32), np.array([0, 3, 4, 5], np.int32))
PICKED = ListEdge.build(0, 5, np.array([0, 2, 2, 5, 6], np.int64), np.array([4, 1, 0, 1, 3, 4], np.int32))
SHARED = SharedEdge(0, 4, np.array([True, False, True, False, False]))
READS: list[tuple[Edge, list[list[int]]]] = [
    (ROLLING, [[], [0, 1, 2], [2, 3], [4]]),
    (PICKED, [[4, 1], [], [0, 1, 3], [4]]),
    (SHARED, [[0, 2]] * 4),
    (SameEdge(0), [[0], [1], [2], [3]]),
]
IDS = ["range", "list", "shared", "same"]


@pytest.mark.parametrize(("edge", "reads"), READS, ids=IDS)
def test_both_directions_tell_the_same(edge, reads):
    assert [list(edge.upstream_of(task)) for task in range(4)] == reads
    for position in range(4):
        assert list(edge.waiters(position)) == [task for task in range(4) if position in reads[task]]


@pytest.mark.parametrize(("edge", "reads"), [READS[0], READS[1]], ids=IDS[:2])
def test_weights_are_summed_over_what_is_read(edge, reads):
    weight = np.array([1, 10, 100, 1000, 10_000])
    assert edge.waiting_for(weight).tolist() == [sum(int(weight[p]) for p in lists) for lists in reads]


def test_a_task_that_reads_the_same_position_sees_its_weight():
    assert SameEdge(0).waiting_for(np.array([0, 1, 1])).tolist() == [0, 1, 1]


def test_no_tasks_and_no_upstream():
    none = np.zeros(0, np.int32)
    assert RangeEdge(0, none, none).waiting_for(np.zeros(3, np.int64)).tolist() == []
    assert list(RangeEdge(0, none, none).waiters(0)) == []
    empty = ListEdge.build(0, 0, np.zeros(3, np.int64), none)
    assert empty.waiting_for(np.zeros(0, np.int64)).tolist() == [0, 0]
