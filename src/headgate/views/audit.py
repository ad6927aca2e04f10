"""What gates said of results, as it is shown."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from headgate.model.audit import GateFinding
    from headgate.model.gate import Gate
    from headgate.store.quarantine import Audit


@dataclass(frozen=True, slots=True)
class GateLine:
    """What a gate said. Fields as in `GateFinding`."""

    gate: str
    severity: str
    passed: bool
    text: str


@dataclass(frozen=True, slots=True)
class DeclaredGate:
    """A gate of a dataset, and what it means if it does not hold."""

    gate: str
    severity: str


@dataclass(frozen=True, slots=True)
class AuditLine:
    """What gates said of a result that was published: how many held, and those that did not."""

    held: int
    failed: tuple[GateLine, ...]


def declared_gates(gates: Iterable[Gate]) -> tuple[DeclaredGate, ...]:
    """Return the gates of a dataset as they are shown."""
    return tuple(DeclaredGate(gate.name, gate.severity.value) for gate in gates)


def gate_lines(found: Iterable[GateFinding]) -> tuple[GateLine, ...]:
    """Return what gates said as it is shown."""
    return tuple(GateLine(one.gate, one.severity.value, one.passed, one.text) for one in found)


def audit_line(audit: Audit | None) -> AuditLine | None:
    """Return an audit as it is shown; None for none."""
    return None if audit is None else AuditLine(audit.held, gate_lines(audit.failed))
