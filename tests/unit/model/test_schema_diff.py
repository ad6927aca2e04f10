from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headgate.model.schema_diff import SchemaPolicy, is_allowed, schema_diff

NAMES = st.sampled_from(["day", "origin", "dest", "delay", "dep_delay", "arr_delay"])
SCHEMAS = st.lists(
    st.tuples(NAMES, st.sampled_from(["int64", "string"])), unique_by=lambda column: column[0], max_size=6
).map(tuple)

BEFORE = (("day", "date32[day]"), ("delay", "int32"), ("origin", "string"))


@pytest.mark.parametrize(
    ("after", "sentences", "additive", "fixed"),
    [
        (BEFORE, [], True, True),
        ((*BEFORE, ("dest", "string")), ["column dest is new (string)"], True, False),
        (BEFORE[:2], ["column origin is gone (string)"], False, False),
        (
            (("day", "date32[day]"), ("delay", "int64"), ("origin", "string")),
            ["column delay: int32 is int64 now"],
            False,
            False,
        ),
        (
            (("day", "date32[day]"), ("dep_delay", "int32"), ("origin", "string")),
            ["column delay looks renamed to dep_delay (int32)"],
            False,
            False,
        ),
        (
            # In another place and with nothing in common.
            (("x", "string"), *BEFORE[:2]),
            ["column origin is gone (string)", "column x is new (string)"],
            False,
            False,
        ),
        ((BEFORE[1], BEFORE[0], BEFORE[2]), [], True, True),
    ],
)
def test_differences_and_what_allows_them(
    after: tuple[tuple[str, str], ...], sentences: list[str], additive: bool, fixed: bool
) -> None:
    found = schema_diff(BEFORE, after)
    assert found.sentences() == sentences
    assert is_allowed(SchemaPolicy.ANY, found)
    assert is_allowed(SchemaPolicy.ADDITIVE, found) is additive
    assert is_allowed(SchemaPolicy.FIXED, found) is fixed


def test_the_likest_names_find_each_other() -> None:
    found = schema_diff(
        (("dep_delay", "int"), ("arr_delay", "int")), (("arr_delay_min", "int"), ("dep_delay_min", "int"))
    )
    assert [(one.before, one.after) for one in found.renamed] == [
        ("arr_delay", "arr_delay_min"),
        ("dep_delay", "dep_delay_min"),
    ]


def test_another_order_alone_is_said_but_is_no_difference() -> None:
    found = schema_diff(BEFORE, BEFORE[::-1])
    assert not found
    assert found.is_reordered


@given(SCHEMAS, SCHEMAS)
def test_the_difference_leads_from_one_schema_to_the_other(
    before: tuple[tuple[str, str], ...], after: tuple[tuple[str, str], ...]
) -> None:
    found = schema_diff(before, after)
    columns = dict(before)
    for name, kind in found.removed:
        assert columns.pop(name) == kind
    for one in found.renamed:
        assert columns.pop(one.before) == one.kind
        columns[one.after] = one.kind
    for one in found.retyped:
        assert columns[one.name] == one.before != one.after
        columns[one.name] = one.after
    for name, kind in found.added:
        assert name not in columns
        columns[name] = kind
    assert columns == dict(after)
    assert schema_diff(before, before).sentences() == []
