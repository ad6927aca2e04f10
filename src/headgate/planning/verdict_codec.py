"""Verdicts as text: what the state store keeps with a plan."""

from __future__ import annotations

import json
from dataclasses import asdict

from headgate.errors import InternalError
from headgate.model.guard_rail import Outcome, Rule
from headgate.model.verdict import Finding, Verdict


def verdict_to_json(verdict: Verdict) -> str:
    """Return a verdict as canonical JSON."""
    return json.dumps(asdict(verdict), sort_keys=True, separators=(",", ":"))


def verdict_from_json(text: str) -> Verdict:
    """Return the verdict that `verdict_to_json` wrote.

    Raises:
        InternalError: The text is no verdict.
    """
    try:
        body = json.loads(text)
        findings = (
            Finding(
                **{
                    **finding,
                    "rule": Rule(finding["rule"]),
                    "outcome": Outcome(finding["outcome"]),
                    "approvers": tuple(finding["approvers"]),
                }
            )
            for finding in body["findings"]
        )
        return Verdict(Outcome(body["outcome"]), tuple(findings))
    except (KeyError, TypeError, ValueError) as error:
        raise InternalError(f"a stored verdict cannot be read: {error!r}") from error
