"""Contract of state stores: the schemas that a run finds."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from store_cases import OPENERS, RUN, SCHEMA, a_candidate, a_run, an_attempt, begin, build, publish, seen

from headgate.errors import InternalError
from headgate.model.run import Publication
from headgate.store.records import Published
from headgate.store.schemas import SchemaOf

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from headgate.store.store import Store

WIDER = (*SCHEMA, ("tail", "string"))
OTHER = "20130101T000000-b2"


@pytest.fixture(params=OPENERS)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    opened = OPENERS[request.param](tmp_path)()
    with opened.transaction() as tx:
        tx.add_run(a_run())
    yield opened
    opened.close()


def before(store: Store, run: str = RUN, dataset: str = "flights") -> SchemaOf | None:
    with store.transaction() as tx:
        return tx.schema_before(dataset, run)


def test_schemas_of_heads_and_only_of_those_that_have_one(store: Store) -> None:
    assert build(store, 1, "k1") is Published.NEW
    assert build(store, 2, "k2", schema=WIDER) is Published.NEW
    assert build(store, 3, "k3", files=(), schema=None) is Published.NEW
    with store.transaction() as tx:
        assert tx.head_schemas("flights", ["k1", "k2", "k3", "k4"]) == {"k1": SCHEMA, "k2": WIDER}
        assert tx.head_schemas("weather", ["k1"]) == {}


def test_a_run_finds_the_newest_head_of_other_runs(store: Store) -> None:
    assert before(store) is None
    build(store, 1, "k1", schema=WIDER)
    build(store, 2, "k2")
    assert before(store) == SchemaOf("k2", SCHEMA)
    begin(store, an_attempt(3, "k3"))
    publish(store, a_candidate(an_attempt(3, "k3"), schema=(("n", "string"),)))
    assert before(store) == SchemaOf("k2", SCHEMA), "what it has made itself does not count"
    assert before(store, dataset="weather") is None


def test_of_a_new_dataset_it_is_the_first_version_of_the_run(store: Store) -> None:
    attempts = [an_attempt(1, "k1"), an_attempt(2, "k2")]
    begin(store, *attempts)
    publish(store, a_candidate(attempts[0], schema=WIDER))
    publish(store, a_candidate(attempts[1]))
    assert before(store) == SchemaOf("k1", WIDER)


def test_what_is_staged_counts_for_its_own_run_only(store: Store) -> None:
    staged = replace(a_run(OTHER), publication=Publication.TOGETHER)
    with store.transaction() as tx:
        tx.add_run(staged)
    begin(store, an_attempt(1, run=OTHER), run=OTHER)
    publish(store, a_candidate(an_attempt(1, run=OTHER)))
    assert before(store, OTHER) == SchemaOf("k1", SCHEMA)
    assert before(store, RUN) is None


def test_sources_and_effects_have_no_schema(store: Store) -> None:
    with store.transaction() as tx:
        tx.observe([seen("k1", "a")], author="ada", now_ms=1_000)
    build(store, 5, "k1", files=(), schema=None)
    assert before(store, dataset="landing") is None
    assert before(store) is None


def test_a_run_that_is_not_there(store: Store) -> None:
    with pytest.raises(InternalError, match="no run nobody"):
        before(store, "nobody")
