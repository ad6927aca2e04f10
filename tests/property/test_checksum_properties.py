"""What the content checksum must and must not see."""

from __future__ import annotations

import random
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headgate.tables import checksum
from headgate.tables.checksum import ContentChecksum, combined

few = settings(max_examples=30, deadline=None)

TEXTS = st.text(max_size=20) | st.text("ab", min_size=120, max_size=140)
SCALARS = {
    "int8": (pa.int8(), st.integers(-128, 127)),
    "uint64": (pa.uint64(), st.integers(0, 2**64 - 1)),
    "int64": (pa.int64(), st.integers(-(2**63), 2**63 - 1)),
    "float64": (pa.float64(), st.floats()),
    "float32": (pa.float32(), st.floats(width=32)),
    "bool": (pa.bool_(), st.booleans()),
    "string": (pa.string(), TEXTS),
    "binary": (pa.binary(), st.binary(max_size=20)),
    "fixed": (pa.binary(3), st.binary(min_size=3, max_size=3)),
    "decimal": (pa.decimal128(38, 2), st.decimals(-(10**30), 10**30, places=2)),
    "date": (pa.date32(), st.dates()),
    "time": (pa.time64("us"), st.times()),
    "timestamp": (
        pa.timestamp("us", "UTC"),
        st.datetimes(datetime(1700, 1, 1), datetime(2250, 1, 1), timezones=st.just(UTC)),
    ),
    "duration": (pa.duration("us"), st.timedeltas(timedelta(-1000), timedelta(1000))),
}


@st.composite
def arrays(draw, rows):
    """Draw a column of any type we store, nested ones too."""
    kind, values = SCALARS[draw(st.sampled_from(sorted(SCALARS)))]
    match draw(st.sampled_from(["plain", "plain", "plain", "list", "struct", "fixed_list", "map"])):
        case "list":
            kind, values = pa.list_(kind), st.lists(st.none() | values, max_size=3)
        case "struct":
            kind, values = (
                pa.struct({"x": kind, "y": pa.int32()}),
                st.fixed_dictionaries({"x": st.none() | values, "y": st.none() | st.integers(0, 3)}),
            )
        case "fixed_list":
            kind, values = pa.list_(kind, 2), st.lists(st.none() | values, min_size=2, max_size=2)
        case "map":
            kind, values = pa.map_(pa.string(), kind), st.lists(st.tuples(TEXTS, st.none() | values), max_size=2)
    return pa.array(draw(st.lists(st.none() | values, min_size=rows, max_size=rows)), kind)


@st.composite
def tables(draw, min_rows=0):
    rows = draw(st.integers(min_rows, 12))
    names = draw(st.lists(st.text(max_size=4), min_size=1, max_size=4, unique=True))
    return pa.table({name: draw(arrays(rows)) for name in names})


def text(table: pa.Table) -> str:
    total = ContentChecksum()
    for batch in table.to_batches():
        total.update(batch)
    return total.text()


def column(values, kind=None) -> str:
    return text(pa.table({"c": pa.array(values, kind)}))


@few
@given(tables(), st.randoms(use_true_random=False))
def test_order_of_rows_and_columns_does_not_matter(table, chance):
    rows, names = list(range(table.num_rows)), list(table.column_names)
    chance.shuffle(rows)
    chance.shuffle(names)
    assert text(table.take(pa.array(rows, pa.int64())).select(names)) == text(table)


@few
@given(tables(), st.integers(0, 12))
def test_batches_and_slices_do_not_matter(table, cut):
    pieces = pa.concat_tables([table.slice(0, cut), table.slice(cut)])
    assert text(pieces) == text(table)
    assert text(table.slice(cut)) == text(pa.Table.from_pylist(table.slice(cut).to_pylist(), table.schema))


@few
@given(tables(), st.lists(st.integers(0, 12), max_size=4))
def test_checksums_of_parts_make_that_of_the_whole(table, cuts):
    bounds = [0, *sorted(min(cut, table.num_rows) for cut in cuts), table.num_rows]
    parts = [text(table.slice(first, last - first)) for first, last in pairwise(bounds)]
    assert combined(parts) == combined([combined(parts[:1]), *parts[1:]]) == text(table)


def test_only_checksums_of_one_algorithm_are_combined():
    with pytest.raises(ValueError, match="xor@1:2:00 is no hgsum@1"):
        combined(["xor@1:2:00"])


@few
@given(tables(min_rows=1), st.integers(0, 11))
def test_a_row_more_or_twice_is_seen(table, row):
    row %= table.num_rows
    one = table.slice(row, 1)
    assert text(pa.concat_tables([table, one])) != text(table)
    assert text(pa.concat_tables([table, one, one])) != text(table)
    assert text(pa.concat_tables([table.slice(0, row), table.slice(row + 1)])) != text(table)


@few
@given(tables(min_rows=1), st.text(max_size=5))
def test_a_renamed_column_is_seen(table, name):
    names = list(table.column_names)
    if name not in names:
        assert text(table.rename_columns([name, *names[1:]])) != text(table)


@few
@given(st.lists(st.none() | TEXTS, max_size=20))
def test_encodings_of_text_do_not_matter(values):
    plain = pa.array(values, pa.string())
    encoded = [
        plain.cast(pa.large_string()),
        plain.cast(pa.string_view()),
        plain.dictionary_encode(),
        plain.dictionary_encode(null_encoding="encode"),
        plain.cast(pa.large_string()).dictionary_encode().cast(pa.dictionary(pa.int8(), pa.large_string())),
        pc.run_end_encode(plain) if values else plain,
        plain.cast(pa.binary()),
    ]
    assert {column(array) for array in encoded} == {column(plain)}


@few
@given(st.lists(st.integers(-100, 100) | st.none(), min_size=1, max_size=20), st.randoms(use_true_random=False))
def test_bytes_under_nulls_do_not_matter(values, chance):
    null = np.array([value is None for value in values])
    below = np.array([chance.randrange(-100, 100) if value is None else value for value in values])
    assert column(pa.array(below, mask=null)) == column(values, pa.int64())
    words = pa.array([str(value) for value in below], pa.string())
    bits = pa.array(~null).buffers()[1]
    masked = pa.Array.from_buffers(pa.string(), len(words), [bits, *words.buffers()[1:]])
    assert column(masked) == column([None if value is None else str(value) for value in values], pa.string())


@few
@given(st.lists(st.integers(-128, 127) | st.none(), max_size=20))
def test_width_of_numbers_does_not_matter(values):
    assert len({column(values, kind) for kind in (pa.int8(), pa.int16(), pa.int32(), pa.int64())}) == 1
    assert len({column(values, kind) for kind in (pa.float16(), pa.float32(), pa.float64())}) == 1


@few
@given(st.lists(st.decimals(-(10**6), 10**6, places=1) | st.none(), max_size=20))
def test_width_of_decimals_does_not_matter(values):
    kinds = (pa.decimal32(9, 1), pa.decimal64(18, 1), pa.decimal128(38, 1), pa.decimal256(76, 1))
    assert len({column(values, kind) for kind in kinds}) == 1


@few
@given(st.lists(st.integers(-(2**40), 2**40) | st.none(), max_size=20))
def test_unit_of_times_does_not_matter(seconds):
    seen = set()
    for unit, factor in (("s", 1), ("ms", 10**3), ("us", 10**6)):
        seen.add(column([None if s is None else s * factor for s in seconds], pa.timestamp(unit)))
    assert len(seen) == 1
    nanos = [None if s is None else s // 1000 * 10**9 for s in seconds]
    assert column(nanos, pa.timestamp("ns")) == column([n and n // 1000 for n in nanos], pa.timestamp("us"))


@few
@given(st.lists(st.lists(st.integers(0, 2), max_size=3), min_size=1, max_size=5), st.data())
def test_order_inside_lists_is_seen(lists, data):
    other = data.draw(st.permutations(lists[0]))
    changed = [other, *lists[1:]]
    assert (column(lists) == column(changed)) == (other == lists[0])


@few
@given(st.lists(TEXTS, min_size=2, max_size=2, unique=True))
def test_different_texts_differ(pair):
    assert column(pair[:1]) != column(pair[1:])


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 2**32))
def test_slices_for_the_cache_do_not_matter(seed):
    chance = random.Random(seed)
    rows = checksum.SLICE_ROWS * 2 + chance.randrange(100)
    words = [chance.choice(["", "a", "bc" * 70, None]) for _ in range(rows)]
    table = pa.table({"n": pa.array(range(rows)), "w": words, "d": pa.array(words).dictionary_encode()})
    assert text(table) == text(pa.concat_tables([table.slice(5), table.slice(0, 5)]))
    wide = pa.array([f"word {n}" for n in range(rows)])
    assert column(wide.dictionary_encode()) == column(wide)


@pytest.mark.parametrize(
    ("these", "those"),
    [
        ([None], [""]),
        ([""], ["\0"]),
        (["ab", "c"], ["a", "bc"]),
        (["aaaaaaaa"], ["aaaaaaaa\0"]),
        ([float("nan")], [None]),
        ([0.0], [None]),
        ([1], [-1]),
        ([[]], [None]),
        ([[None]], [[]]),
        ([{"a": None}], [None]),
        ([Decimal(2**64 - 1)], [Decimal(-1)]),
        ([Decimal(2**64)], [Decimal(0)]),
    ],
)
def test_different_values_differ(these, those):
    assert column(these) != column(those)


def test_same_values_are_equal():
    assert column([-0.0]) == column([0.0])
    strange = np.array([0x7FF8000000000001, 0xFFF8000000000000, 0x7FF0000000000001], "u8").view("f8")
    assert column(strange) == column([float("nan")] * 3)
    assert column([date(2020, 1, 1)], pa.date64()) == column([date(2020, 1, 1)], pa.date32())
    assert column([time(1, 2, 3)], pa.time32("s")) == column([time(1, 2, 3)], pa.time64("ns"))
    assert column([None, None]) == column([None, None], pa.string())


def test_values_swapped_between_rows_are_seen():
    assert text(pa.table({"a": [1, 2], "b": [3, 4]})) != text(pa.table({"a": [1, 2], "b": [4, 3]}))


def mixed(x: int) -> int:
    x = (x ^ x >> 30) * 0xBF58476D1CE4E5B9 % 2**64
    x = (x ^ x >> 27) * 0x94D049BB133111EB % 2**64
    return x ^ x >> 31


@few
@given(st.lists(st.tuples(st.integers(-(2**63), 2**63 - 1) | st.none(), st.text("abc", max_size=20)), max_size=5))
def test_it_is_what_its_description_says(rows):
    from xxhash import xxh3_64_intdigest

    total = 0
    for number, word in rows:
        n = 0xC2B2AE3D27D4EB4F if number is None else number % 2**64
        data = word.encode()
        w = len(data) * 0x9E3779B97F4A7C15 % 2**64
        for at in range(0, len(data), 8):
            w ^= int.from_bytes(data[at : at + 8], "little")
            w = (w ^ w >> 32) * 0xBF58476D1CE4E5B9 % 2**64
        parts = mixed(n ^ xxh3_64_intdigest(b"n")) + mixed(w ^ xxh3_64_intdigest(b"w"))
        total += mixed(parts % 2**64)
    table = pa.table(
        {"n": pa.array([n for n, _ in rows], pa.int64()), "w": pa.array([w for _, w in rows], pa.string())}
    )
    assert text(table) == f"hgsum@1:{len(rows)}:{total:024x}"


def test_the_value_never_changes():
    table = pa.table({"id": [1, 2, 3], "name": ["a", None, "ü" * 100], "x": [0.5, float("nan"), -0.0]})
    assert text(table) == "hgsum@1:3:000000010d02bdff92a60e8a"
    assert text(table.slice(0, 0)) == "hgsum@1:0:" + "0" * 24
