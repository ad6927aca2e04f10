"""Plans as text: what the state store keeps, and the hash that names a plan."""

from __future__ import annotations

import json
from hashlib import sha256

import numpy as np

from headgate.errors import InternalError
from headgate.model.plan import Plan, PlannedDataset, Request
from headgate.planning.sets import from_runs, runs_of


def plan_to_json(plan: Plan) -> str:
    """Return a plan as canonical JSON: indices as runs of neighbours. Problems are not kept: they can change."""
    body = {
        "request": {
            "select": list(plan.request.select),
            "start": plan.request.start,
            "end": plan.request.end,
            "forced": plan.request.forced,
        },
        "as_of_ms": plan.as_of_ms,
        "considered": plan.considered,
        "datasets": [
            {
                "name": part.name,
                "partitioning": part.partitioning,
                "code": part.code,
                "runs": runs_of(part.indices, part.why),
            }
            for part in plan.datasets
        ],
    }
    return json.dumps(body, sort_keys=True, separators=(",", ":"))


def plan_from_json(text: str) -> Plan:
    """Return the plan that `plan_to_json` wrote, with nothing marked as blocked.

    Raises:
        InternalError: The text is no plan.
    """
    try:
        body = json.loads(text)
        parts = []
        for part in body["datasets"]:
            indices, why = from_runs([tuple(run) for run in part["runs"]])
            blocked = np.zeros(len(indices), dtype=bool)
            parts.append(PlannedDataset(part["name"], part["partitioning"], part["code"], indices, why, blocked))
        request = body["request"]
        return Plan(
            Request(tuple(request["select"]), request["start"], request["end"], request["forced"]),
            tuple(parts),
            (),
            body["considered"],
            body["as_of_ms"],
        )
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise InternalError(f"a stored plan cannot be read: {error!r}") from error


def plan_hash(text: str) -> str:
    """Return the name of a plan: the SHA-256 of its JSON."""
    return sha256(text.encode()).hexdigest()
