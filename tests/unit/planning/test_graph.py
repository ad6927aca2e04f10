from __future__ import annotations

from datetime import UTC, datetime
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headgate.errors import UsageError
from headgate.model.dataset import Dataset, Format, Input, Source
from headgate.model.mapping import All, Custom, Fixed, Lists, Mapping, Offset, Overlap, Spans, Trailing, upstream
from headgate.model.partitioning import (
    UNPARTITIONED,
    Partitioning,
    Unit,
    daily,
    hourly,
    monthly,
    product,
    static,
    weekly,
)
from headgate.planning.cycle import find_cycle
from headgate.planning.graph import Selection, check_graph, components, order, readers, select

if TYPE_CHECKING:
    from collections.abc import Sequence

NOW_MS = round(datetime(2014, 1, 1, tzinfo=UTC).timestamp() * 1000)
DAYS = daily("2013-01-01", "2014-01-01")


def dataset(name: str, partitioning: Partitioning = DAYS, **inputs: Mapping) -> Dataset:
    """Return a dataset that reads each named one by its mapping."""
    reads = {f"of_{read}": Input(read, mapping) for read, mapping in inputs.items()}
    return Dataset(name, partitioning, reads, f"m:{name}", "code", declared_at=f"pipeline.py:{ord(name[0])}")


def source(name: str, partitioning: Partitioning = DAYS) -> Source:
    return Source(name, partitioning, "{key}.csv", Format.CSV, declared_at="sources.py:7")


def graph(*declared: Dataset | Source) -> tuple[dict[str, Dataset], dict[str, Source]]:
    datasets = {each.name: each for each in declared if isinstance(each, Dataset)}
    sources = {each.name: each for each in declared if isinstance(each, Source)}
    return datasets, sources


def refusal(*declared: Dataset | Source, now_ms: int = NOW_MS) -> UsageError:
    with pytest.raises(UsageError) as caught:
        check_graph(*graph(*declared), now_ms)
    return caught.value


FLIGHTS = graph(
    source("landed"),
    source("airlines_csv", UNPARTITIONED),
    dataset("flights", landed=Overlap()),
    dataset("airlines", UNPARTITIONED, airlines_csv=Overlap()),
    dataset("delays", flights=Overlap(), airlines=Overlap()),
    dataset("monthly", monthly("2013-01-01", "2014-01-01"), delays=Overlap()),
)


def test_order_is_sources_then_upstream_before_downstream_then_by_name() -> None:
    assert order(*FLIGHTS) == ["airlines_csv", "landed", "airlines", "flights", "delays", "monthly"]


def test_order_does_not_depend_on_the_order_of_declaration() -> None:
    datasets, sources = FLIGHTS
    assert order(dict(reversed(datasets.items())), dict(reversed(sources.items()))) == order(*FLIGHTS)


def test_datasets_of_a_loop_stand_together() -> None:
    declared = graph(
        dataset("b"),
        dataset("a", z=Offset(-1), b=Overlap()),
        dataset("z", a=Overlap()),
        dataset("m", b=Overlap()),
        dataset("c", z=Overlap()),
    )
    assert order(*declared) == ["b", "a", "z", "m", "c"]


def test_order_of_a_very_long_chain() -> None:
    names = [f"d{i:05}" for i in range(5000)]
    chain = [dataset(name, **{above: Overlap()}) for above, name in pairwise(names)]
    assert order(*graph(dataset(names[0]), *reversed(chain))) == names


@settings(deadline=None)
@given(st.dictionaries(st.sampled_from("abcdefgh"), st.lists(st.sampled_from("abcdefgh"), max_size=3)))
def test_components_are_those_that_reach_each_other(reads: dict[str, list[str]]) -> None:
    reach = {name: {name} for name in reads}
    for _ in reads:
        reach = {
            name: own.union(*(reach[r] for n in own for r in reads[n] if r in reads)) for name, own in reach.items()
        }
    found = components(reads)
    assert sorted(name for component in found for name in component) == sorted(reads)
    for at, component in enumerate(found):
        assert component == sorted(
            name for name in reads if component[0] in reach[name] and name in reach[component[0]]
        )
        assert not any(set(later) & reach[component[0]] for later in found[at + 1 :])


def test_readers_are_listed_with_their_parameters() -> None:
    assert readers(FLIGHTS[0]) == {
        "airlines_csv": [("airlines", "of_airlines_csv")],
        "airlines": [("delays", "of_airlines")],
        "flights": [("delays", "of_flights")],
        "landed": [("flights", "of_landed")],
        "delays": [("monthly", "of_delays")],
    }


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        (["flights"], [Selection("flights", 0, 0)]),
        (["+flights"], [Selection("flights", None, 0)]),
        (["flights+"], [Selection("flights", 0, None)]),
        (["+flights+"], [Selection("flights", None, None)]),
        (["2+flights"], [Selection("flights", 2, 0)]),
        (["flights+1"], [Selection("flights", 0, 1)]),
        (["1+flights+3"], [Selection("flights", 1, 3)]),
        (["landed+"], [Selection("landed", 0, None)]),
        (["landed+2"], [Selection("landed", 0, 2)]),
        (["monthly", "flights"], [Selection("monthly"), Selection("flights")]),
        (["2+flights", "flights+1", "1+flights"], [Selection("flights", 2, 1)]),
        (["2+flights", "+flights"], [Selection("flights", None, 0)]),
        ([], [Selection("airlines"), Selection("delays"), Selection("flights"), Selection("monthly")]),
    ],
)
def test_selections(texts: Sequence[str], expected: list[Selection]) -> None:
    assert list(select(texts, *FLIGHTS)) == expected


@pytest.mark.parametrize(
    "text", ["", "+", "++flights", "flights++", "a+b+c", "-1+flights", "99999+flights", "²+flights", "\n+flights\n+ "]
)
def test_what_is_no_selection_is_refused(text: str) -> None:
    with pytest.raises(UsageError):
        select([text], *FLIGHTS)


def test_an_unknown_name_is_refused_with_the_closest() -> None:
    with pytest.raises(UsageError, match="there is no dataset 'flihgts'") as caught:
        select(["+flihgts"], *FLIGHTS)
    assert caught.value.hint == (
        "Did you mean flights? There are airlines, airlines_csv, delays, flights, landed, monthly."
    )
    with pytest.raises(UsageError) as caught:
        select(["x"], *graph(*(dataset(f"d{i:02}") for i in range(22))))
    assert caught.value.hint.endswith("d18, d19 and 2 more.")
    with pytest.raises(UsageError) as caught:
        select(["x"], {}, {})
    assert caught.value.hint == "The project has no datasets."


@pytest.mark.parametrize("text", ["landed", "+landed", "landed+0"])
def test_a_source_alone_cannot_be_built(text: str) -> None:
    with pytest.raises(UsageError, match="landed is a source") as caught:
        select([text], *FLIGHTS)
    assert "landed+" in caught.value.hint


def test_a_sound_graph_passes() -> None:
    check_graph(*FLIGHTS, NOW_MS)


def test_an_input_that_is_not_there_is_refused() -> None:
    error = refusal(source("landed"), dataset("flights", lande=Overlap()))
    assert error.message == "pipeline.py:102: input of_lande of flights reads 'lande', which is not there"
    assert error.hint == "Did you mean landed? There are flights, landed."


def test_a_name_of_both_a_dataset_and_a_source_is_refused() -> None:
    error = refusal(source("flights"), dataset("flights"))
    assert error.message == "pipeline.py:102: the name 'flights' is declared twice, first at sources.py:7"


def test_names_that_differ_only_in_case_are_refused() -> None:
    error = refusal(dataset("flights"), dataset("Flights"))
    assert error.message == "pipeline.py:70: the name 'Flights' is declared beside 'flights', first at pipeline.py:102"


def test_the_place_is_left_out_where_it_is_unknown() -> None:
    error = refusal(Dataset("a", DAYS, {"p": Input("b")}, "m:a", "code"))
    assert error.message == "input p of a reads 'b', which is not there"


@pytest.mark.parametrize(
    ("reader", "mapping", "read", "message"),
    [
        (static(["a", "c"]), Overlap(), static(["a", "b"]), "the upstream has no key 'c'"),
        (DAYS, Fixed("c"), static(["a", "b"]), "the upstream has no partition 'c'"),
        (UNPARTITIONED, Offset(-1), DAYS, "'1 window before' needs windows on both sides"),
        (product(daily("2030-01-01"), static(["c"])), Overlap(), static(["a"]), "the upstream has no key 'c'"),
        (
            DAYS,
            Custom(lambda key: ["a"] if key < "2013-12-31" else ["c"], "by_day"),
            static(["a"]),
            "mapping function by_day maps 2013-12-31 to 'c', which is not there",
        ),
        (
            daily("2030-01-01"),
            Custom(lambda key: ["c"], "by_day"),
            static(["a"]),
            "mapping function by_day maps 2030-01-01 to 'c', which is not there",
        ),
    ],
)
def test_a_mapping_that_cannot_hold_is_refused(
    reader: Partitioning, mapping: Mapping, read: Partitioning, message: str
) -> None:
    error = refusal(dataset("b", read), dataset("a", reader, b=mapping))
    assert error.message == f"pipeline.py:97: input of_b of a, b: {message}"
    assert error.hint


def test_a_custom_mapping_is_tried_with_a_sample() -> None:
    tried: list[str] = []

    def function(key: str) -> list[str]:
        tried.append(key)
        return ["a"]

    hours = hourly("2010-01-01", "2014-01-01")
    check_graph(*graph(dataset("b", static(["a"])), dataset("a", hours, b=Custom(function, "f"))), NOW_MS)
    assert len(tried) == 1000
    assert (tried[0], tried[-1]) == ("2010-01-01T00:00Z", "2013-12-31T23:00Z")


def test_a_custom_mapping_is_not_asked_about_the_future_without_need() -> None:
    tried: list[str] = []

    def function(key: str) -> list[str]:
        tried.append(key)
        return ["2013-01"]

    short = monthly("2013-01-01", "2013-02-01")
    check_graph(*graph(dataset("b", short), dataset("a", daily("2013-01-01"), b=Custom(function, "f"))), NOW_MS)
    assert tried[-1] == "2013-12-31"


def test_a_fixed_key_that_is_still_to_come_is_fine() -> None:
    check_graph(*graph(dataset("b", daily("2020-01-01")), dataset("a", b=Fixed("2020-01-01"))), NOW_MS)


STATICS = product(DAYS, static(["x", "y"]))
FUTURE = daily("2030-01-01")


@pytest.mark.parametrize(
    ("declared", "cycle"),
    [
        ([dataset("a", a=Overlap())], "a/2013-01-01 -> a/2013-01-01"),
        ([dataset("a", a=All())], "a/2013-01-01 -> a/2013-01-01"),
        ([dataset("a", a=Trailing(7))], "a/2013-01-01 -> a/2013-01-01"),
        ([dataset("a", a=Fixed("2013-01-05"))], "a/2013-01-05 -> a/2013-01-05"),
        ([dataset("a", UNPARTITIONED, a=Overlap())], "a/all -> a/all"),
        ([dataset("a", STATICS, a=Fixed("y"))], "a/2013-01-01/y -> a/2013-01-01/y"),
        ([dataset("a", b=Overlap()), dataset("b", a=Overlap())], "a/2013-01-01 -> b/2013-01-01 -> a/2013-01-01"),
        (
            [dataset("a", b=Offset(-1)), dataset("b", a=Offset(1))],
            "a/2013-01-02 -> b/2013-01-01 -> a/2013-01-02",
        ),
        (
            [dataset("days", months=Overlap()), dataset("months", monthly("2013-01-01"), days=Overlap())],
            "days/2013-01-01 -> months/2013-01 -> days/2013-01-01",
        ),
        (
            [dataset("days", weeks=Offset(-1)), dataset("weeks", weekly("2013-01-01"), days=Overlap())],
            "days/2013-01-02 -> weeks/2013-01-01 -> days/2013-01-02",
        ),
        (
            [dataset("a", static(["x", "y"]), a=Custom(lambda key: ["y" if key == "x" else "x"], "other"))],
            "a/x -> a/y -> a/x",
        ),
        # No window has ended yet, or only few.
        ([dataset("a", FUTURE, a=Overlap())], "a/2030-01-01 -> a/2030-01-01"),
        (
            [dataset("a", daily("2013-12-31"), b=Offset(-5)), dataset("b", daily("2013-12-31"), a=Offset(5))],
            "a/2014-01-05 -> b/2013-12-31 -> a/2014-01-05",
        ),
    ],
)
def test_a_partition_that_needs_itself_is_refused(declared: list[Dataset], cycle: str) -> None:
    error = refusal(*declared)
    assert error.message.startswith("pipeline.py:")
    assert error.message.partition(": ")[2] == f"a partition needs itself: {cycle}"


def test_a_long_cycle_is_shown_in_part() -> None:
    keys = [f"k{i:03}" for i in range(100)]
    ring = dict(zip(keys, keys[1:] + keys[:1], strict=True))
    error = refusal(dataset("a", static(keys), a=Custom(lambda key: [ring[key]], "ring")))
    shown = error.message.partition("itself: ")[2].split(" -> ")
    assert (len(shown), shown[0], shown[-1]) == (13, "a/k000", "a/k000")
    assert "..." in shown


def last_month(day: str) -> list[str]:
    year, month = int(day[:4]), int(day[5:7]) - 1
    return [f"{year}-{month:02}"] if month else []


@pytest.mark.parametrize(
    "declared",
    [
        [dataset("a", a=Offset(-1))],
        [dataset("a", daily("1950-01-01"), a=Offset(-1))],
        [dataset("a", STATICS, a=Offset(-1))],
        [dataset("a", FUTURE, a=Offset(-1))],
        [dataset("a", b=Offset(-1)), dataset("b", a=Overlap())],
        [dataset("a", b=Offset(-1)), dataset("b", a=Trailing(30))],
        [dataset("a", b=Offset(-1)), dataset("b", a=Trailing(1, Unit.MONTH))],
        [dataset("a", b=Overlap()), dataset("b", c=Overlap()), dataset("c", a=Offset(-1))],
        [dataset("a", b=Overlap(), a=Offset(-2)), dataset("b", a=Offset(-1), b=Offset(-1))],
        # A day reads the last month, a month reads its days.
        [dataset("m", monthly("2013-01-01"), d=Overlap()), dataset("d", m=Custom(last_month, "last"))],
        # Backwards, from an end that is fixed.
        [dataset("a", a=Offset(1))],
        [dataset("a", static(["x", "y"]), a=Custom(lambda key: ["y"] if key == "x" else [], "next"))],
        # Only this key reads the other, which reads nothing.
        [dataset("a", STATICS, b=Fixed("x")), dataset("b", STATICS, a=Custom(lambda key: [], "none"))],
    ],
)
def test_a_loop_that_always_gets_somewhere_else_is_fine(declared: list[Dataset]) -> None:
    check_graph(*graph(*declared), NOW_MS)


partitionings = st.one_of(
    st.integers(1, 9).map(lambda day: daily(f"2013-01-0{day}", "2013-01-20")),
    st.just(weekly("2013-01-01", "2013-01-29")),
    st.just(monthly("2013-01-01", "2013-03-01")),
    st.just(product(daily("2013-01-05", "2013-01-12"), static(["x", "y", "z"]))),
)
mappings = st.one_of(
    st.just(Overlap()),
    st.builds(Offset, st.integers(-4, 4)),
    st.builds(Trailing, st.integers(1, 4)),
    st.sampled_from([Trailing(3, Unit.DAY), All()]),
)


def _ranges_or_lists(data: st.DataObject, reads: Spans | Lists, n: int) -> Spans | Lists:
    """Return the same reads, sometimes as lists instead of ranges."""
    if data.draw(st.booleans()):
        return reads
    values = [list(reads.of(i)) for i in range(n)]
    offsets = np.cumsum([0, *map(len, values)])
    return Lists(offsets, np.array([j for own in values for j in own], dtype=np.int64), np.zeros(n, dtype=bool))


@settings(deadline=None, max_examples=300)
@given(st.data())
def test_a_cycle_is_found_exactly_where_there_is_one(data: st.DataObject) -> None:
    grids = {name: data.draw(partitionings).grid(NOW_MS) for name in "abc"}
    reads = {}
    for name, down in grids.items():
        reads[name] = []
        for read in data.draw(st.lists(st.sampled_from("abc"), max_size=2)):
            ranges = upstream(data.draw(mappings), down, grids[read], np.arange(down.size))
            reads[name].append((read, _ranges_or_lists(data, ranges, down.size)))
    cycle = find_cycle(grids, reads)
    edges = {
        (name, i): [(read, j) for read, ranges in reads[name] for j in ranges.of(i)]
        for name, grid in grids.items()
        for i in range(grid.size)
    }
    if cycle is not None:
        assert cycle[0] == cycle[-1]
        assert len(cycle) > 1
        assert all(after in edges[before] for before, after in pairwise(cycle))
    else:
        # Take away what reads nothing that is left, until nothing is left.
        left = set(edges)
        while ended := {node for node in left if not left.intersection(edges[node])}:
            left -= ended
        assert not left
