"""What it means for an attempt that gates refuse what it has staged."""

from __future__ import annotations

from typing import TYPE_CHECKING

from headgate.model.audit import GateFinding
from headgate.model.gate import Severity
from headgate.model.run import ErrorClass, Failure

if TYPE_CHECKING:
    from collections.abc import Iterable

    from headgate.worker.messages import GateResult


def findings(results: Iterable[GateResult]) -> tuple[GateFinding, ...]:
    """Return what gates said, as it is recorded."""
    return tuple(GateFinding(one.gate, one.severity, one.passed, one.text) for one in results)


def refusal(attempt: int, found: Iterable[GateFinding]) -> Failure | None:
    """Return why the result of an attempt must not be published; None if it may be.

    Args:
        attempt: Its number.
        found: What gates said of it.
    """
    refusing = [one for one in found if one.refuses]
    if not refusing:
        return None
    said = "; ".join(f"{one.gate}: {one.text}" for one in refusing)
    waits = all(one.severity is Severity.APPROVE for one in refusing)
    message = f"it waits for a release: {said}" if waits else said
    return Failure(ErrorClass.DATA, message, f"headgate quarantine show {attempt}")
