"""Plans as text: what the state store keeps, and the hash that names a plan."""

from __future__ import annotations

import json
from hashlib import sha256
from typing import Any

import numpy as np

from headgate.errors import intact
from headgate.model.plan import Exactly, Plan, PlannedDataset, Request
from headgate.model.run import RunKind
from headgate.planning.sets import from_runs, runs_of


def plan_to_json(plan: Plan) -> str:
    """Return a plan as canonical JSON: indices as runs of neighbours. Problems are not kept: they can change."""
    body = {
        "request": _request_body(plan.request),
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
        UnavailableError: The text is no plan.
    """
    with intact("a plan"):
        body = json.loads(text)
        parts = []
        for part in body["datasets"]:
            indices, why = from_runs([tuple(run) for run in part["runs"]])
            blocked = np.zeros(len(indices), dtype=bool)
            parts.append(PlannedDataset(part["name"], part["partitioning"], part["code"], indices, why, blocked))
        request = _request_of(body["request"])
        return Plan(request, tuple(parts), (), body["considered"], body["as_of_ms"])


def _request_body(request: Request) -> dict[str, Any]:
    body: dict[str, Any] = {
        "select": list(request.select),
        "start": request.start,
        "end": request.end,
        "forced": request.forced,
    }
    # Only where there is something to say: plans that were kept before this could be said keep their hashes.
    if request.kind is not RunKind.BACKFILL:
        body["kind"] = request.kind.value
    if request.only:
        body["only"] = [[one.dataset, one.partitioning, one.runs] for one in request.only]
        body["cause"] = request.cause
    if request.held:
        body["held"] = True
    return body


def _request_of(body: dict[str, Any]) -> Request:
    return Request(
        tuple(body["select"]),
        body["start"],
        body["end"],
        body["forced"],
        kind=RunKind(body.get("kind", RunKind.BACKFILL)),
        only=tuple(
            Exactly(dataset, spec, tuple((start, stop) for start, stop in runs))
            for dataset, spec, runs in body.get("only", ())
        ),
        cause=body.get("cause", ""),
        held=body.get("held", False),
    )


def plan_hash(text: str) -> str:
    """Return the name of a plan: the SHA-256 of its JSON."""
    return sha256(text.encode()).hexdigest()
