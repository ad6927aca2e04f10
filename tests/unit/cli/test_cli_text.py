from __future__ import annotations

import json
from dataclasses import dataclass

import click
import pytest

from headgate.cli import text
from headgate.model.run import RunState
from headgate.views.summary import EndedTask


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (0.04, "0.0 s"),
        (9.94, "9.9 s"),
        (9.96, "10 s"),
        (59.4, "59 s"),
        (59.6, "1 min 00 s"),
        (185, "3 min 05 s"),
        (3599.6, "1 h 00 min"),
        (7800, "2 h 10 min"),
    ],
)
def test_durations(seconds: float, shown: str) -> None:
    assert text.duration(seconds) == shown


@pytest.mark.parametrize(
    ("count", "shown"),
    [
        (0, "0 bytes"),
        (999, "999 bytes"),
        (1000, "1.0 kB"),
        (99_400, "99.4 kB"),
        (99_600, "100 kB"),
        (999_600, "1.0 MB"),
        (5_200_000_000_000_000, "5200 TB"),
    ],
)
def test_sizes(count: int, shown: str) -> None:
    assert text.size(count) == shown


def test_numbers_have_their_nouns() -> None:
    assert [text.counted(n, "partition") for n in (0, 1, 2192)] == ["0 partitions", "1 partition", "2,192 partitions"]
    assert text.keys("a", "a", 1) == "a"
    assert text.keys("a", "c", 3) == "a to c"


def test_moments_are_utc_also_before_1970() -> None:
    assert text.moment(1_357_016_400_123) == "2013-01-01 05:00:00"
    assert text.moment(-1) == "1969-12-31 23:59:59"
    assert text.moment(None) == ""


def test_what_could_move_the_cursor_is_escaped() -> None:
    assert text.plain("a\x1b[31m\r\n\t\0b") == "a\\x1b[31m\\r\\n\\t\\x00b"
    assert text.plain("S\u00e3o \U0001f600 \u4e2d") == "S\u00e3o \U0001f600 \u4e2d"
    assert text.plain("\udc80\u202e") == "\\udc80\\u202e"


def test_columns_are_as_wide_as_what_is_in_them() -> None:
    shown = text.table(("name", "n"), [("\u4e2d\u6587x", "1"), ("e\u0301", "1,000")], right=frozenset({1}))
    assert [click.unstyle(line) for line in shown.splitlines()] == [
        "  name       n",
        "  \u4e2d\u6587x      1",
        "  e\u0301      1,000",
    ]


def test_cells_can_have_colours_and_do_not_change_the_columns() -> None:
    shown = text.table(("state", "x"), [("failed", "1"), ("ok", "2")], colors={(0, "failed"): "red"})
    assert click.style("failed", fg="red") in shown
    assert [click.unstyle(line) for line in shown.splitlines()] == ["  state   x", "  failed  1", "  ok      2"]


@dataclass(frozen=True, slots=True)
class Inner:
    state: RunState
    keys: tuple[str, ...]


def test_values_become_json(capsys: pytest.CaptureFixture[str]) -> None:
    text.print_json({"x": (Inner(RunState.FAILED, ("\u00e9", "\udc80")),)})
    assert json.loads(capsys.readouterr().out) == {"x": [{"state": "failed", "keys": ["\u00e9", "\udc80"]}]}


def test_failures_show_the_first_line_of_what_went_wrong() -> None:
    long = EndedTask("sales", "2024-01-01", "permanent", "ValueError: " + "x" * 400, "look there", "")
    lines = EndedTask("sales", "2024-01-02", "permanent", "\nKeyError: 'a'\nand more", "", "")
    short = EndedTask("sales", "2024-01-03", "lost", "", "", "")
    shown = text.failures_text([long, lines, short], shown=5, total=3, more="there")
    assert shown.splitlines() == [
        "  sales/2024-01-01 (permanent) ValueError: " + "x" * 288 + " ...",
        "    hint: look there",
        "  sales/2024-01-02 (permanent) KeyError: 'a' ...",
        "  sales/2024-01-03 (lost) ",
    ]


def test_failures_that_are_alike_are_one_line_with_one_remedy() -> None:
    busy = [EndedTask("sales", f"2024-01-{day:02}", "transient", "503", "wait", "trace") for day in range(1, 9)]
    other = EndedTask("trend", "2024-01-01", "transient", "503", "wait", "")
    shown = text.failures_text([busy[0], other, *busy[1:]], shown=5, total=20, more="headgate status r1")
    assert shown.splitlines() == [
        "  sales, 8 times (transient) 503",
        "    2024-01-01, 2024-01-02, 2024-01-03, 2024-01-04, 2024-01-05 and 3 more",
        "    hint: wait",
        "  trend/2024-01-01 (transient) 503",
        "    hint: wait",
        "  ... and 11 more: headgate status r1",
    ]
    few = text.failures_text([busy[0], other], shown=1, total=2, more="see --json")
    assert few.splitlines()[-1] == "  ... and 1 more: see --json"
