"""Where the next attempt of a task goes on: at the last batch checkpoint, if what is saved still holds."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import structs

from headgate.model.version import File
from headgate.store.records import SavedBatch
from headgate.tables.layout import resolve
from headgate.worker.messages import Resume, StagedPart

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from headgate.drivers.in_flight import InFlight
    from headgate.store.transaction import Transaction
    from headgate.worker.messages import Order, Progressed


def saved_batch(flight: InFlight, progress: Progressed, path: str) -> SavedBatch:
    """Return what is recorded of progress.

    Args:
        flight: The attempt that made it.
        progress: What it reports.
        path: Path of the part, relative to the data root.
    """
    part = progress.part
    return SavedBatch(
        progress.attempt,
        File(path, part.rows, part.bytes, part.hash),
        part.content,
        progress.offset,
        tuple((name, kind) for name, kind in progress.schema),
        progress.watermark_ms,
        progress.offsets,
        flight.inputs_digest,
        flight.dataset.code,
    )


def going_on(
    tx: Transaction, prepared: Sequence[tuple[InFlight, Order]], data_root: Path
) -> list[tuple[InFlight, Order]]:
    """Return attempts with their orders, to go on from what earlier attempts of their tasks saved.

    What was made by other code, from other inputs, or has lost a file is forgotten: those begin at the beginning.

    Args:
        tx: The transaction that will record the attempts.
        prepared: Attempts and orders of one run.
        data_root: The data folder.
    """
    keys: dict[str, list[str]] = {}
    for _, order in prepared:
        if order.batches_ms is not None:
            keys.setdefault(order.dataset, []).append(order.key)
    saved = {
        (dataset, key): batches
        for dataset, wanted in keys.items()
        for key, batches in tx.batches(prepared[0][1].run, dataset, wanted).items()
    }
    found: list[tuple[InFlight, Order]] = []
    for flight, order in prepared:
        batches = saved.get((order.dataset, order.key), [])
        if not batches:
            found.append((flight, order))
        elif all(_holds(batch, flight, data_root) for batch in batches):
            paths = frozenset(batch.file.path for batch in batches)
            resume = _resume(batches, data_root)
            found.append((flight._replace(resumed=paths), structs.replace(order, resume=resume)))
        else:
            tx.forget_batches(order.run, order.dataset, [order.key])
            found.append((flight, order))
    return found


def _holds(batch: SavedBatch, flight: InFlight, data_root: Path) -> bool:
    if (batch.code, batch.inputs_digest) != (flight.dataset.code, flight.inputs_digest):
        return False
    try:
        return resolve(data_root, batch.file.path).stat().st_size == batch.file.bytes
    except OSError:
        return False


def _resume(batches: Sequence[SavedBatch], data_root: Path) -> Resume:
    last = batches[-1]
    parts = [
        StagedPart(f"{data_root}/{one.file.path}", one.file.rows, one.file.bytes, one.file.hash, one.content)
        for one in batches
    ]
    return Resume(last.offset, parts, list(last.schema), last.watermark_ms, last.offsets)
