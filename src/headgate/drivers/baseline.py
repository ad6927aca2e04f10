"""What gates compare a result with beside the result itself: it goes out with the order, as the heads are then."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from msgspec import structs

from headgate.model.gate import Moves, RowCount, inputs_of
from headgate.worker.messages import Baseline, FilePin

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from headgate.drivers.in_flight import InFlight
    from headgate.model.dataset import Dataset
    from headgate.model.grid import Grid
    from headgate.model.version import Version
    from headgate.worker.messages import Order

    HeadsOf = Callable[[str, list[str]], Sequence[Version | None]]


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the gates of a dataset want to know beside the result.

    Args:
        head: Whether they compare with the version that readers see.
        files: Whether they read its files.
        neighbours: With how many partitions near in time they compare.
        reads: Whether they look into inputs of one partition among those that an attempt takes together.
    """

    head: bool
    files: bool
    neighbours: int
    reads: bool


def wants_of(dataset: Dataset) -> Wanted | None:
    """Return what the gates of a dataset want to know; None for nothing."""
    counts = [gate for gate in dataset.gates if isinstance(gate, RowCount) and gate.within is not None]
    moves = [gate for gate in dataset.gates if isinstance(gate, Moves)]
    found = Wanted(
        head=bool(moves) or any(not gate.neighbours for gate in counts),
        files=any(gate.sums or gate.distribution for gate in moves),
        neighbours=max((gate.neighbours for gate in counts), default=0),
        reads=dataset.batch > 1 and any(inputs_of(gate, tuple(dataset.inputs)) for gate in dataset.gates),
    )
    return found if found != Wanted(head=False, files=False, neighbours=0, reads=False) else None


@dataclass(frozen=True, slots=True)
class Asked:
    """An attempt whose gates want something.

    Args:
        want: What.
        grid: The partitions of its dataset.
        index: Which of them it makes.
    """

    want: Wanted
    grid: Grid
    index: int

    def neighbours(self) -> list[str]:
        """Return the keys of partitions near in time, the nearest first, the earlier of two as near first."""
        at, static = divmod(self.index, self.grid.n_statics)
        return [
            self.grid.key(near * self.grid.n_statics + static)
            for distance in range(1, self.want.neighbours + 1)
            for near in (at - distance, at + distance)
            if 0 <= near < self.grid.n_times
        ]


def with_baselines(
    heads_of: HeadsOf, prepared: Sequence[tuple[InFlight, Order]], asked: Sequence[Asked | None], data_root: str
) -> list[tuple[InFlight, Order]]:
    """Return attempts with their orders, with what their gates want to know: one question for each dataset.

    Args:
        heads_of: Gives the present versions of keys of a dataset, in the transaction that will record the attempts.
        prepared: Attempts and orders.
        asked: What the gates of each want; None for nothing.
        data_root: The data folder, with a slash at its end.
    """
    keys: dict[str, dict[str, None]] = {}
    for (_, order), one in zip(prepared, asked, strict=True):
        if one is not None:
            of_dataset = keys.setdefault(order.dataset, {})
            of_dataset.update(dict.fromkeys(one.neighbours()))
            if one.want.head:
                of_dataset[order.key] = None
    heads = {dataset: _heads(heads_of, dataset, list(of_dataset)) for dataset, of_dataset in keys.items()}
    return [
        (flight, order)
        if one is None
        else (flight, structs.replace(order, baseline=_baseline(order, one, heads[order.dataset], data_root)))
        for (flight, order), one in zip(prepared, asked, strict=True)
    ]


def _heads(heads_of: HeadsOf, dataset: str, keys: list[str]) -> dict[str, Version]:
    found = zip(keys, heads_of(dataset, keys), strict=True) if keys else ()
    return {key: version for key, version in found if version is not None}


def _baseline(order: Order, asked: Asked, heads: Mapping[str, Version], data_root: str) -> Baseline:
    head = heads.get(order.key) if asked.want.head else None
    counts = [heads[key].rows for key in asked.neighbours() if key in heads][: asked.want.neighbours]
    files = head.files if head is not None and asked.want.files else ()
    return Baseline(
        rows=None if head is None else head.rows,
        neighbours=counts,
        files=[FilePin(data_root + f.path, f.bytes, f.hash, order.key, f.row_group) for f in files],
        reads=[list(pin.keys) for pin in order.inputs] if asked.want.reads else [],
    )
