"""Intents: attempts that are about to start are numbered and recorded before any order for them goes out."""

from __future__ import annotations

from typing import TYPE_CHECKING

from headgate.crashpoints import crash_point
from headgate.drivers.ranged import gathered
from headgate.tables import layout
from headgate.worker.messages import Failed

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence
    from pathlib import Path

    from headgate.core.effects import StartAttempt
    from headgate.drivers.active import ActiveRun
    from headgate.drivers.in_flight import InFlight
    from headgate.store.transaction import Transaction
    from headgate.worker.messages import AttemptReport, Order


class Intents:
    """Records attempts and makes the orders for them.

    Args:
        runs: The runs in hand, by id.
        in_flight: Attempts that were ordered and have not come back, by number; grows.
        data_root: The data folder.
    """

    def __init__(self, runs: Mapping[str, ActiveRun], in_flight: dict[int, InFlight], data_root: Path) -> None:
        self._runs = runs
        self._in_flight = in_flight
        self._data_root = data_root
        self._with_directories: set[str] = set()
        """Runs whose directories exist."""
        self._refused: list[AttemptReport] = []
        self.next_id = 0
        """The number that the next attempt gets."""

    def record(self, tx: Transaction, starts: Sequence[StartAttempt], now_ms: int) -> list[Order]:
        """Record the intents of attempts; return the orders to send once that is durable."""
        crash_point("coordinator.before_intents")
        by_run: dict[str, list[StartAttempt]] = {}
        for start in starts:
            by_run.setdefault(start.run, []).append(start)
        orders: list[Order] = []
        flights: list[InFlight] = []
        for run_id, mine in by_run.items():
            run = self._runs[run_id]
            prepared = run.dispatcher.prepare(tx, mine, first_id=self.next_id, now_ms=now_ms)
            begun, sent = gathered([one for one in prepared if one[0].refusal is None])
            begun += self._refuse(prepared)
            for flight in begun:
                run.in_flight[flight.start.task] = flight.attempt.id
                run.retried.pop(flight.start.task, None)
            flights += begun
            orders += sent
            self.next_id += len(mine)
        if not by_run.keys() <= self._with_directories:
            self._make_directories(by_run.keys() - self._with_directories)
        tx.start_attempts([flight.attempt for flight in flights])
        for flight in flights:
            self._in_flight[flight.attempt.id] = flight
        return orders

    def _refuse(self, prepared: Sequence[tuple[InFlight, Order]]) -> list[InFlight]:
        """Return the attempts that must not begin; they fail with the next outcomes."""
        refused = [flight for flight, _ in prepared if flight.refusal is not None]
        for flight in refused:
            why = flight.refusal
            assert why is not None
            self._refused.append(Failed(flight.attempt.id, why.error_class, why.message, why.hint, why.traceback))
        return refused

    def taken_refusals(self) -> list[AttemptReport]:
        """Return, once, the outcomes of attempts that were recorded but must not begin."""
        refused, self._refused = self._refused, []
        return refused

    def forget(self, run: str) -> None:
        """Let go of a run."""
        self._with_directories.discard(run)

    def _make_directories(self, runs: Collection[str]) -> None:
        """Make the directories of all datasets of runs at once: each flush of a directory makes the disk wait."""
        wanted = [(part.name, run) for run in runs for part in self._runs[run].plan.datasets]
        layout.make_directories(self._data_root, [layout.stage_path(name, run, "", 0) for name, run in wanted])
        self._with_directories |= set(runs)
