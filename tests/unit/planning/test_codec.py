from __future__ import annotations

import json
from hashlib import sha256

import numpy as np
import pytest
from planning_worlds import built, dataset, planned, snapshot, source

from headgate.errors import UnavailableError
from headgate.model.mapping import Offset
from headgate.model.partitioning import daily, product, static
from headgate.model.plan import Plan, PlannedDataset, Request
from headgate.planning.codec import plan_from_json, plan_hash, plan_to_json
from headgate.planning.planner import make_plan

PLAN = Plan(
    Request(("+b",), "2013-01-01", None, forced=True),
    (
        PlannedDataset(
            "a",
            "day 2013-01-01T00:00:00.. UTC",
            "c0de",
            np.array([0, 1, 2, 5, 6], np.int64),
            np.array([1, 1, 4, 4, 4], np.uint8),
            np.array([False, True, False, False, False]),
        ),
    ),
    (),
    7,
    1_364_774_400_000,
)
TEXT = (
    '{"as_of_ms":1364774400000,"considered":7,"datasets":[{"code":"c0de","name":"a","partitioning":'
    '"day 2013-01-01T00:00:00.. UTC","runs":[[0,2,1],[2,3,4],[5,7,4]]}],"request":{"end":null,"forced":true,'
    '"select":["+b"],"start":"2013-01-01"}}'
)


def test_the_text_of_a_plan_is_what_it_always_was():
    assert plan_to_json(PLAN) == TEXT
    assert plan_hash(TEXT) == sha256(TEXT.encode()).hexdigest()


def test_there_and_back():
    again = plan_from_json(TEXT)
    assert plan_to_json(again) == TEXT
    assert (again.request, again.considered, again.as_of_ms) == (PLAN.request, 7, PLAN.as_of_ms)
    assert planned(again) == planned(PLAN)
    assert (again.blocked, again.problems) == (0, ())
    assert again.datasets[0].indices.dtype == np.int64


def test_a_large_plan_is_a_short_text():
    ports = product(daily("1990-01-01"), static(["ewr", "jfk", "lga"]))
    world = snapshot(source("files", ports), dataset("a", ports, "files", ("a", Offset(-1))))
    text = plan_to_json(make_plan(world, Request()))
    assert len(text) < 300
    assert plan_from_json(text).size == world.grids["a"].size
    empty = plan_to_json(make_plan(built(world), Request()))
    assert plan_from_json(empty).datasets == ()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "null",
        "{",
        TEXT.replace('"runs"', '"spans"'),
        TEXT.replace("[0,2,1]", "[0,2]"),
        TEXT.replace("[0,2,1]", '["0",2,1]'),
        TEXT.replace("[0,2,1]", "[0,2,999]"),
        TEXT.replace("[0,2,1]", "[2,0,1]"),
        TEXT.replace('"select":["+b"]', '"select":null'),
        json.dumps({"request": {}}),
    ],
)
def test_what_is_no_plan_is_a_bug(text):
    with pytest.raises(UnavailableError, match="the state store is damaged: a plan cannot be read"):
        plan_from_json(text)
