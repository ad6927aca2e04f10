"""Which partitions a request is about, and what is made of its range."""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import numpy as np

from headgate.errors import UsageError
from headgate.model.calendar import instant, parse_local, zone_of
from headgate.model.plan import Exactly
from headgate.planning import graph
from headgate.planning.reach import Masks, downwards, upwards

if TYPE_CHECKING:
    from zoneinfo import ZoneInfo

    from numpy.typing import NDArray

    from headgate.model.grid import Grid
    from headgate.model.plan import Request
    from headgate.planning.snapshot import Snapshot

OPTIONS = ("--start", "--end")
"""What the start and the end of a range are called on the command line."""
SHOWN_NAMES = 3


def wanted_by(snapshot: Snapshot, request: Request) -> Masks:
    """Return which partitions of which datasets a request covers, whether they need a rebuild or not.

    Raises:
        UsageError: An unknown dataset, a malformed date, or an end that is not after its start; or partitions that
            were named one by one are not there any more.
    """
    if request.only:
        return {one.dataset: _named(snapshot, one) for one in request.only}
    wanted: Masks = {}
    for selection in graph.select(request.select, snapshot.datasets, snapshot.sources):
        base = {selection.name: in_range(snapshot, selection.name, request)}
        above = base if selection.up == 0 else upwards(snapshot, base, selection.up)
        below = base if selection.down == 0 else downwards(snapshot, base, selection.down)
        for found in (above,) if below is base else (above, below):
            for name, mask in found.items():
                if name in snapshot.datasets:
                    wanted[name] = wanted[name] | mask if name in wanted else mask
    return wanted


def exactly(snapshot: Snapshot, masks: Masks) -> tuple[Exactly, ...]:
    """Return sets of partitions as a request names them; those that are empty are left out."""
    named = []
    for name, mask in sorted(masks.items()):
        edges = np.flatnonzero(np.diff(mask, prepend=False, append=False)).reshape(-1, 2)
        if len(edges):
            runs = tuple((start, stop) for start, stop in edges.tolist())
            named.append(Exactly(name, snapshot.datasets[name].partitioning.spec, runs))
    return tuple(named)


def _named(snapshot: Snapshot, one: Exactly) -> NDArray[np.bool_]:
    dataset = snapshot.datasets.get(one.dataset)
    if dataset is None or dataset.partitioning.spec != one.partitioning:
        how = "is not there any more" if dataset is None else "has other partitions by now"
        raise UsageError(f"{one.dataset} {how}", hint="Ask for the partitions anew: headgate impact.")
    mask = np.zeros(snapshot.grids[one.dataset].size, dtype=bool)
    for start, stop in one.runs:
        mask[start:stop] = True
    return mask


def in_range(snapshot: Snapshot, name: str, request: Request) -> NDArray[np.bool_]:
    """Return which partitions of a dataset overlap the request's range, read in the dataset's own time zone.

    Raises:
        UsageError: A date is malformed, or the end is not after the start.
    """
    return mask_of_range(snapshot.grids[name], request)


def mask_of_range(grid: Grid, request: Request, called: tuple[str, str] = OPTIONS) -> NDArray[np.bool_]:
    """Return which partitions of a grid overlap the request's range, as `in_range`.

    Args:
        grid: The grid.
        request: What has the range.
        called: What its start and its end are called where they were given.
    """
    start_ms, end_ms = range_of(grid, request, called)
    mask = np.zeros(grid.size, dtype=bool)
    times = grid.times_in(start_ms, end_ms)
    mask[times.start * grid.n_statics : times.stop * grid.n_statics] = True
    return mask


def notes_on(snapshot: Snapshot, request: Request) -> tuple[str, ...]:
    """Return what is done otherwise than it was asked for: a start before there is anything is moved.

    Raises:
        UsageError: As `wanted_by`.
    """
    if request.only:
        return ()
    early: dict[str, list[str]] = {}
    for selection in graph.select(request.select, snapshot.datasets, snapshot.sources):
        grid = snapshot.grids[selection.name]
        start_ms, end_ms = range_of(grid, request)
        if grid.axis is not None and grid.bounds is not None and start_ms is not None:
            first_ms = int(grid.bounds[0])
            if start_ms < first_ms and (end_ms is None or end_ms > first_ms):
                early.setdefault(grid.axis.start.removesuffix("T00:00:00"), []).append(selection.name)
    return tuple(
        f"--start {request.start} is before the start of {listed(names)}: cut to {start}"
        for start, names in sorted(early.items())
    )


def listed(names: list[str]) -> str:
    """Return names in words: the first of them, and how many more there are."""
    if len(names) <= SHOWN_NAMES:
        return " and ".join(part for part in (", ".join(names[:-1]), names[-1]) if part)
    return f"{', '.join(names[:SHOWN_NAMES])} and {len(names) - SHOWN_NAMES} more"


def range_of(grid: Grid, request: Request, called: tuple[str, str] = OPTIONS) -> tuple[int | None, int | None]:
    """Return the range of a request on a grid, in UTC milliseconds; its start and end are called so in errors."""
    zone = zone_of(grid.axis.zone if grid.axis else "UTC")
    start, end = map(_moment, (request.start, request.end), called)
    start_ms = None if start is None else _instant(start, zone)
    end_ms = None if end is None else _instant(end, zone)
    # Two local times can be one instant: a day that this zone skipped is an empty range and no mistake.
    if start_ms is not None and end_ms is not None and (end_ms < start_ms or end == start):
        raise UsageError(
            f"{called[1]} {request.end} is not after {called[0]} {request.start}",
            hint=f"The end is exclusive: for one day give the day after as {called[1]}.",
        )
    return start_ms, end_ms


def _moment(text: str | None, what: str) -> datetime | None:
    if text is None:
        return None
    # Not what it should be is for the parser to say.
    with suppress(ValueError, TypeError):
        moment = datetime.fromisoformat(text)
        if moment.tzinfo is not None:
            return moment
    return parse_local(text, what)


def _instant(moment: datetime, zone: ZoneInfo) -> int:
    if moment.tzinfo is None:
        return instant(moment, zone)
    return (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1)
