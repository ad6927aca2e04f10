from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest

from headgate import Context, UsageError


def test_a_window_is_shown_as_aware_datetimes():
    ctx = Context("flights", "2013-01-01", window=(1_357_016_400_000, 1_357_102_800_000))
    assert ctx.start == datetime(2013, 1, 1, 5, tzinfo=UTC)
    assert ctx.end == datetime(2013, 1, 2, 5, tzinfo=UTC)


def test_without_a_time_axis_there_is_no_window():
    ctx = Context("airports", "all")
    assert (ctx.window, ctx.start, ctx.end) == (None, None, None)


def test_the_logger_is_named_after_the_dataset():
    assert Context("flights", "all").logger.name == "headgate.flights"


@pytest.mark.parametrize(
    ("moment", "ms"),
    [
        (datetime(1970, 1, 1, 0, 0, 1, 500_000, tzinfo=UTC), 1500),
        (datetime(1970, 1, 1, 1, tzinfo=timezone(timedelta(hours=1))), 0),
        (datetime(1969, 12, 31, 23, 59, 59, tzinfo=UTC), -1000),
        (1234, 1234),
    ],
)
def test_a_watermark_becomes_utc_milliseconds(moment, ms):
    ctx = Context("d", "all")
    ctx.set_watermark(moment)
    assert ctx.watermark_ms == ms


@pytest.mark.parametrize("moment", [datetime(2024, 1, 1), "2024-01-01", True, 1.5, None])
def test_a_watermark_of_another_kind_is_refused(moment):
    with pytest.raises(UsageError, match="set_watermark"):
        Context("d", "all").set_watermark(moment)


@pytest.mark.parametrize("number", [2**63, -(2**63) - 1, pytest.param(10**5000, id="huge")])
def test_numbers_beyond_64_bits_are_refused(number):
    ctx = Context("d", "all")
    with pytest.raises(UsageError, match=r"set_watermark got .*64 bits"):
        ctx.set_watermark(number)
    with pytest.raises(UsageError, match=r"offset topic is .*64 bits"):
        ctx.set_offset("topic", number)
    assert (ctx.watermark_ms, ctx.offsets) == (None, {})


@pytest.mark.parametrize("number", [2**63 - 1, -(2**63)])
def test_numbers_of_64_bits_are_recorded(number):
    ctx = Context("d", "all")
    ctx.set_watermark(number)
    ctx.set_offset("topic", number)
    assert (ctx.watermark_ms, ctx.offsets) == (number, {"topic": number})


def test_offsets_keep_the_last_value_of_a_name():
    ctx = Context("d", "all")
    ctx.set_offset("topic-0", 5)
    ctx.set_offset("topic-0", 9)
    ctx.set_offset("file", "a.csv")
    assert ctx.offsets == {"topic-0": 9, "file": "a.csv"}


@pytest.mark.parametrize(("name", "value"), [("", 1), (1, 1), ("a", 1.5), ("a", None), ("a", True)])
def test_offsets_of_another_kind_are_refused(name, value):
    with pytest.raises(UsageError, match="offset"):
        Context("d", "all").set_offset(name, value)


def test_a_context_knows_where_to_go_on_and_whether_the_function_looked():
    ctx = Context("d", "all")
    assert not ctx.has_looked
    assert ctx.resume_from is None
    assert ctx.has_looked
    ctx.resume_at("page 7")
    assert ctx.resume_from == "page 7"


def test_the_logger_says_which_partition_a_record_is_about(caplog):
    caplog.set_level("INFO")
    Context("flights", "2013-01-01", attempt=7).logger.info("read %s rows", 3)
    [record] = caplog.records
    assert (record.getMessage(), record.partition) == ("read 3 rows", "2013-01-01 a7")
