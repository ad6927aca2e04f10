from __future__ import annotations

import pytest

from headgate.drivers.refusals import findings, refusal
from headgate.model.gate import Severity
from headgate.model.run import ErrorClass, Failure
from headgate.worker.messages import GateResult

NULLS = GateResult("not_null(n)", Severity.BLOCK, False, "3 of 10 rows are null")
MOVED = GateResult("moves(rows=0.1)", Severity.APPROVE, False, "10 rows, and 90 before")
FEW = GateResult("row_count(min=20)", Severity.WARN, False, "10 rows")
FINE = GateResult("unique(n)", Severity.BLOCK, True, "10 values")


@pytest.mark.parametrize("results", [[], [FINE], [FEW, FINE]])
def test_what_holds_or_only_warns_refuses_nothing(results: list[GateResult]) -> None:
    assert refusal(7, findings(results)) is None


@pytest.mark.parametrize(
    ("results", "message"),
    [
        ([FINE, NULLS, FEW], "not_null(n): 3 of 10 rows are null"),
        ([MOVED, FEW], "it waits for a release: moves(rows=0.1): 10 rows, and 90 before"),
        ([MOVED, NULLS], "moves(rows=0.1): 10 rows, and 90 before; not_null(n): 3 of 10 rows are null"),
    ],
)
def test_a_refusal_says_what_every_refusing_gate_found(results: list[GateResult], message: str) -> None:
    assert refusal(7, findings(results)) == Failure(ErrorClass.DATA, message, "headgate quarantine show 7")
