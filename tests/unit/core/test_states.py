from __future__ import annotations

from headgate.core.states import DONE, ENDED, HALTED, MOVES, diagram
from headgate.model.run import TaskState


def test_every_state_has_its_moves():
    assert set(MOVES) == set(TaskState)
    assert {state for moves in MOVES.values() for state in moves} == set(TaskState)


def test_a_task_ends_done_or_halted():
    assert ENDED == DONE | HALTED
    assert not DONE & HALTED


def test_every_unended_state_can_reach_an_end():
    for state in set(TaskState) - ENDED:
        reached, edge = {state}, {state}
        while edge:
            edge = {to for one in edge for to in MOVES[one]} - reached
            reached |= edge
        assert reached & DONE
        assert reached & HALTED


def test_the_diagram_shows_every_move():
    lines = diagram().splitlines()
    assert lines[0] == "stateDiagram-v2"
    assert "    waiting --> ready" in lines
    assert "    succeeded --> [*]" in lines
    assert len(lines) == 2 + sum(map(len, MOVES.values())) + len(ENDED)
