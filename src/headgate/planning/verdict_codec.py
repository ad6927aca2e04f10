"""Verdicts as text: what the state store keeps with a plan."""

from __future__ import annotations

import json
from dataclasses import asdict

from headgate.errors import intact
from headgate.model.guard_rail import Outcome, Rule
from headgate.model.verdict import Finding, Verdict


def verdict_to_json(verdict: Verdict) -> str:
    """Return a verdict as canonical JSON."""
    return json.dumps(asdict(verdict), sort_keys=True, separators=(",", ":"))


def verdict_from_json(text: str) -> Verdict:
    """Return the verdict that `verdict_to_json` wrote.

    Raises:
        UnavailableError: The text is no verdict.
    """
    with intact("the verdict on a plan"):
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
