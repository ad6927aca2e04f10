"""What gates have said of a result."""

from __future__ import annotations

from typing import NamedTuple

from headgate.model.gate import Severity


class GateFinding(NamedTuple):
    """What a gate said of a result.

    Args:
        gate: Its name, such as ``not_null(dep_delay)``.
        severity: What it means if it does not hold.
        passed: Whether it holds.
        text: What was found, for people.
    """

    gate: str
    severity: Severity
    passed: bool
    text: str

    @property
    def refuses(self) -> bool:
        """Return whether it keeps the result from being published."""
        return not self.passed and self.severity is not Severity.WARN
