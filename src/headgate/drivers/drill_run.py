"""A run of a drill: publishes spoiled versions as an ordinary run publishes good ones, in a scratch copy.

Attempts are recorded, inputs pinned, files staged and gates asked as ever. But no function of the project is called,
as that could do things elsewhere; and what gates refuse is published all the same, as if they had not noticed.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from msgspec import structs

from headgate.core.effects import StartAttempt
from headgate.drivers.clock import now_ms
from headgate.drivers.dispatch import Dispatcher
from headgate.drivers.emptied import with_not_empty
from headgate.drivers.refusals import findings
from headgate.drivers.submission import new_run
from headgate.errors import ConflictError
from headgate.model.gate import inputs_of
from headgate.model.plan import Plan, PlannedDataset, Request
from headgate.model.policy import MAINTENANCE
from headgate.model.reason import Why
from headgate.model.run import RunState
from headgate.model.version import File
from headgate.store.records import Candidate, Published
from headgate.tables import layout
from headgate.tables.corruption import Corruption, spoiled, spoiled_schema
from headgate.tables.opened import Piece, arrow_batches, arrow_schema
from headgate.tables.staging import StagedTable, stage
from headgate.worker.failures import AttemptError
from headgate.worker.gates.staged import look_at_tables
from headgate.worker.inputs import OpenInputs
from headgate.worker.messages import FilePin, InputPin, Staged, StagedFile

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from headgate.drivers.in_flight import InFlight
    from headgate.drivers.scratch import Scratch
    from headgate.model.run import Run
    from headgate.model.version import Version
    from headgate.planning.snapshot import Snapshot
    from headgate.store.store import Store
    from headgate.store.transaction import Transaction
    from headgate.worker.messages import GateResult, Order


@dataclass(frozen=True, slots=True)
class Spoiled:
    """A partition that shows a spoiled version.

    Args:
        dataset: Name.
        key: Partition key.
        version: The number of the spoiled version.
        path: Its file, relative to the data root.
        how: What is wrong with it.
        has_gates: Whether gates of its dataset were asked.
        gates: Names of the gates that noticed.
    """

    dataset: str
    key: str
    version: int
    path: str
    how: Corruption
    has_gates: bool
    gates: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Made:
    """What was staged of a partition."""

    flight: InFlight
    table: StagedTable
    how: Corruption
    gates: list[GateResult]


class DrillRun:
    """Publishes spoiled versions in a scratch copy. Pre: the caller leads there.

    Args:
        scratch: The copy.
        snapshot: Definitions and grids.
        author: Who rehearses.
        reason: Why.
    """

    def __init__(self, scratch: Scratch, snapshot: Snapshot, *, author: str, reason: str) -> None:
        self._scratch = scratch
        self._store = scratch.store
        self._project = scratch.project
        self._snapshot = snapshot
        self._author = author
        self._reason = reason

    def publish(
        self, heads: Sequence[Version], *, made_from: Collection[int] | None = None
    ) -> tuple[Run, list[Spoiled]]:
        """Publish a spoiled version of each partition, as one run that has succeeded.

        Args:
            heads: What readers see of the partitions.
            made_from: If given, only partitions that read some of these versions now, or what was made from them in
                this run. Gates are not asked then: they would have to notice what their inputs are.

        Raises:
            ConflictError: The copy refused one of them.
        """
        by_place = {(head.dataset, head.key): head for head in heads}
        plan = self._plan(heads)
        run = new_run(plan, RunState.RUNNING, reason=self._reason, author=self._author, service_class=MAINTENANCE.name)
        dispatcher = Dispatcher(self._project, self._snapshot, plan, run, tried={}, lifts_holds=True)
        with self._store.transaction() as tx:
            tx.add_run(run)
        found: list[Spoiled] = []
        for number, part in enumerate(plan.datasets):
            bad = None if made_from is None else {*made_from, *(one.version for one in found)}
            made = []
            for position, (flight, order) in enumerate(self._begin(dispatcher, run, number, len(part.indices), bad)):
                before = by_place[flight.attempt.dataset, flight.attempt.key]
                # Not as what it reads is spoiled, or gates that compare the two would find them alike.
                table, how = self._stage(before, Path(order.stage), number + position)
                gates = self._asked(flight, order, table) if made_from is None else []
                made.append(_Made(flight, table, how, gates))
            found += self._publish(made)
        with self._store.transaction() as tx:
            state = RunState.SUCCEEDED
            tx.set_run_state(run.id, state, author=self._author, reason=self._reason, now_ms=now_ms())
        return run, found

    def _plan(self, heads: Sequence[Version]) -> Plan:
        parts = []
        for name in (name for loop in self._snapshot.loops() for name in loop):
            grid, dataset = self._snapshot.grids[name], self._snapshot.datasets.get(name)
            indices = np.array(sorted(grid.index(h.key, name) for h in heads if h.dataset == name), dtype=np.int64)
            if dataset is not None and len(indices):
                why = np.full(len(indices), Why.FORCED, dtype=np.uint8)
                blocked = np.zeros(len(indices), dtype=bool)
                parts.append(PlannedDataset(name, dataset.partitioning.spec, dataset.code, indices, why, blocked))
        request = Request(tuple(part.name for part in parts), forced=True)
        return Plan(request, tuple(parts), (), len(heads), self._snapshot.as_of_ms)

    def _begin(
        self, dispatcher: Dispatcher, run: Run, stage_number: int, count: int, bad: set[int] | None
    ) -> list[tuple[InFlight, Order]]:
        """Record the attempts of one dataset: if bad versions are given, of the partitions that read any of these."""
        first = self._store.next_id()
        starts = [StartAttempt(run.id, position, stage_number, position, 1, 0) for position in range(count)]
        with self._store.transaction() as tx:
            begun = dispatcher.prepare(tx, starts, first_id=first, now_ms=now_ms())
            if bad is not None:
                begun = [one for one in begun if not bad.isdisjoint(one[0].inputs)]
            tx.start_attempts([flight.attempt for flight, _ in begun])
        layout.make_directories(self._scratch.data, [flight.attempt.path for flight, _ in begun])
        return begun

    def _stage(self, before: Version, path: Path, number: int) -> tuple[StagedTable, Corruption]:
        """Stage a spoiled version of a partition; in which way it is spoiled follows from a number."""
        pieces = [Piece(str(layout.resolve(self._scratch.data, file.path)), file.row_group) for file in before.files]
        schema = arrow_schema(pieces[0])
        ways, columns = list(Corruption), schema.names
        turn, column = number % len(ways), columns[number // len(ways) % len(columns)]
        for how in [*ways[turn:], *ways[:turn]]:
            batches = (batch for piece in pieces for batch in arrow_batches(piece))
            table = stage(path, spoiled_schema(schema, how, column), spoiled(batches, how, column))
            if table.content != before.content:
                break
            # The column was null before.
            path.unlink()
        return table, how

    def _asked(self, flight: InFlight, order: Order, table: StagedTable) -> list[GateResult]:
        """Return what the gates of a dataset say of what was staged."""
        dataset = flight.dataset
        if not dataset.gates:
            return []
        parameters = tuple(dataset.inputs)
        wanted = {parameter for gate in dataset.gates for parameter in inputs_of(gate, parameters)}
        inputs = OpenInputs([self._readable(pin) for pin in order.inputs if pin.parameter in wanted], order.stage)
        try:
            inputs.arguments({})
            (results,) = look_at_tables(order, dataset.gates, [table], inputs)
        except AttemptError:
            # An input is not there any more. Gates that need none say what they find.
            gates = [gate for gate in dataset.gates if not inputs_of(gate, parameters)]
            (results,) = look_at_tables(order, gates, [table], None)
        finally:
            inputs.close()
        return results

    def _readable(self, pin: InputPin) -> InputPin:
        """Return an input whose files are read where they are, if they are not in the copy."""

        def found(file: FilePin) -> FilePin:
            path = Path(file.path)
            if not path.is_relative_to(self._scratch.data) or path.exists():
                return file
            return structs.replace(file, path=str(self._scratch.original / path.relative_to(self._scratch.data)))

        return structs.replace(pin, files=[found(file) for file in pin.files])

    def _publish(self, made: Sequence[_Made]) -> list[Spoiled]:
        layout.fsync_directories({one.table.path.parent for one in made})
        flights = {one.flight.attempt.id: one.flight for one in made}
        with self._store.transaction() as tx:
            results = with_not_empty(tx, [_result(one) for one in made], flights)
            gates = {one.attempt: one.gates for one in results if isinstance(one, Staged)}
            known = _failing(self._store, tx, made)
            candidates = [self._candidate(one, gates[one.flight.attempt.id]) for one in made]
            verdicts = tx.publish(candidates, author=self._author, now_ms=now_ms())
            for candidate, verdict in zip(candidates, verdicts, strict=True):
                if verdict is not Published.NEW:
                    raise ConflictError(
                        f"the copy refused {candidate.dataset}/{candidate.key}, spoiled: {verdict.value}"
                    )
        return [self._told(one, gates[one.flight.attempt.id], known) for one in made]

    def _told(self, one: _Made, results: Sequence[GateResult], known: Collection[tuple[str, str]]) -> Spoiled:
        attempt = one.flight.attempt
        noticed = tuple(r.gate for r in results if not r.passed and (attempt.key, r.gate) not in known)
        has_gates = bool(one.gates)
        return Spoiled(attempt.dataset, attempt.key, attempt.id, attempt.path, one.how, has_gates, noticed)

    def _candidate(self, one: _Made, results: Sequence[GateResult]) -> Candidate:
        flight, table = one.flight, one.table
        attempt = flight.attempt
        parameters = self._project.config.parameters
        return Candidate(
            attempt=attempt.id,
            run=attempt.run,
            dataset=attempt.dataset,
            key=attempt.key,
            files=(File(attempt.path, table.rows, table.bytes, table.hash),),
            rows=table.rows,
            bytes=table.bytes,
            content=table.content,
            schema=table.schema,
            code=flight.dataset.code,
            declared_version=flight.dataset.version,
            inputs=flight.inputs,
            inputs_digest=flight.inputs_digest,
            watermark_ms=None,
            offsets=None,
            started_ms=attempt.started_ms,
            gates=findings(results),
            parameters=json.dumps(parameters, sort_keys=True, separators=(",", ":"), ensure_ascii=False),
            lifts_holds=True,
        )


def _failing(store: Store, tx: Transaction, made: Sequence[_Made]) -> set[tuple[str, str]]:
    """Return keys and gates that did not hold for what readers see either: these notice nothing."""
    keys: dict[str, list[str]] = {}
    for one in made:
        keys.setdefault(one.flight.attempt.dataset, []).append(one.flight.attempt.key)
    heads = {head.attempt: key for name, some in keys.items() for key, head in tx.head_checkpoints(name, some).items()}
    return {(heads[attempt], gate.gate) for attempt, audit in store.audits(heads).items() for gate in audit.failed}


def _result(one: _Made) -> Staged:
    """Return what a worker would have reported."""
    table = one.table
    return Staged(
        attempt=one.flight.attempt.id,
        files=[StagedFile(str(table.path), table.rows, table.bytes, table.hash)],
        rows=table.rows,
        bytes=table.bytes,
        content=table.content,
        schema=list(table.schema),
        watermark_ms=None,
        offsets=None,
        started_ms=one.flight.attempt.started_ms,
        elapsed_ms=0.0,
        gates=one.gates,
    )
