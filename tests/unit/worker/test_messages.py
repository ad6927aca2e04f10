from __future__ import annotations

import pytest
from msgspec import structs

from headgate.model.gate import Severity
from headgate.model.run import ErrorClass
from headgate.worker import messages
from headgate.worker.messages import (
    Baseline,
    Beat,
    Cancelled,
    Drop,
    Failed,
    FilePin,
    GateResult,
    InputPin,
    Member,
    Order,
    Progressed,
    Resume,
    Returned,
    Staged,
    StagedFile,
    StagedPart,
    Work,
    Yielded,
    YieldUp,
    frame,
    from_worker,
    split_frames,
    to_worker,
)

ORDER = Order(
    attempt=2**40,
    entry="birds:flights",
    dataset="flights",
    key="2013-01-01",
    window=(1_356_998_400_000, 1_357_084_800_000),
    number=1,
    run="r1",
    inputs=[InputPin("days", "raw", "csv", ["2013-01-01"], [FilePin("/d/ä.csv", 10, "xxh3:00", "2013-01-01")])],
    stage="/s/1.parquet",
    parameters={"n": 1, "ratio": 0.5, "on": True, "name": "x"},
    is_async=False,
    timeout_ms=None,
)
STAGED = Staged(
    1, [StagedFile("/s/1", 2, 3, "h")], 2, 3, "c", [("a", "int64")], 5, {"topic": 7, "at": "x"}, 1_700_000_000_000, 0.5
)
PART = StagedPart("/s/1", 2, 3, "h", "c")
ANSWERS = [
    STAGED,
    structs.replace(STAGED, gates=[GateResult("not_null(a)", Severity.WARN, False, "a is null in 1 of 2 rows")]),
    Failed(2, ErrorClass.DATA, "m", "h", "t"),
    Returned([3, 4]),
    Cancelled(5),
    Beat(0),
    Progressed(6, PART, "page 7", [("a", "int64")], None, {"topic": 7}),
    Yielded(7),
]


def test_messages_come_back_as_they_were_sent() -> None:
    resume = Resume(7, [PART], [("a", "int64")], 5, None)
    baseline = Baseline(None, [3, 4], ORDER.inputs[0].files, [["2013-01-01"]])
    member = Member(1, "2013-01-01", None, 1, "/s/1", baseline)
    gated = structs.replace(ORDER, baseline=structs.replace(baseline, rows=7), members=[member])
    sent = [Work([gated, ORDER, structs.replace(ORDER, batches_ms=0, resume=resume)]), Drop([1, 2]), YieldUp([3])]
    (body,) = split_frames(bytearray(frame(sent)))
    assert to_worker.decode(body) == sent
    (body,) = split_frames(bytearray(frame(ANSWERS)))
    assert from_worker.decode(body) == ANSWERS


def test_frames_are_found_wherever_the_stream_is_cut() -> None:
    stream = frame([Cancelled(1)]) + frame(ANSWERS) + frame([Beat(9)])
    for cut in range(len(stream) + 1):
        buffer = bytearray(stream[:cut])
        bodies = list(split_frames(buffer))
        buffer += stream[cut:]
        bodies += split_frames(buffer)
        assert [from_worker.decode(body) for body in bodies] == [[Cancelled(1)], ANSWERS, [Beat(9)]]
        assert not buffer


def test_a_frame_that_claims_to_be_too_long_is_refused() -> None:
    frames = split_frames(bytearray(frame([Cancelled(1)]) + b"\xff\xff\xff\xff"))
    assert from_worker.decode(next(frames)) == [Cancelled(1)]
    with pytest.raises(ValueError, match="4294967295 bytes is longer"):
        next(frames)


def test_a_frame_that_is_too_long_is_not_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(messages, "MAX_FRAME_BYTES", 100)
    with pytest.raises(ValueError, match="longer than 100"):
        frame([Work([ORDER])])


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\xc1",
        b"\xdd\xff\xff\xff\xff",
        b"\x91\x92\xa4beat\xa1x",
        b"\x91\x92\xa7unknown\x01",
        b"\x91\x96\xa6failed\x01\xa5silly\xa0\xa0\xa0",
        b"\x91\x96\xa6failed\x01\xa2\xff\xff\xa0\xa0\xa0",
    ],
    ids=["empty", "no msgpack", "truncated", "wrong type", "unknown message", "unknown error class", "no UTF-8"],
)
def test_what_is_no_message_raises_value_error(body: bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011
        from_worker.decode(body)
