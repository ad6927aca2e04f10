"""Why there is nothing to do in a plan."""

from __future__ import annotations

from typing import TYPE_CHECKING

from headgate.model.calendar import LONGEST_MS, at_ms, boundaries, zone_of
from headgate.model.reason import Why
from headgate.planning import graph
from headgate.planning.planner import stale
from headgate.planning.reach import upwards
from headgate.planning.scope import in_range, listed, range_of, wanted_by

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from headgate.model.grid import Grid
    from headgate.model.plan import Plan, Request
    from headgate.planning.snapshot import Snapshot


def empty_because(snapshot: Snapshot, request: Request, plan: Plan) -> str:
    """Return why there is nothing to do in a plan without partitions, as a sentence without its full stop."""
    if not snapshot.datasets:
        return "the project has no datasets"
    if request.only:
        return "none of the partitions that were named can be built now"
    held = not request.held and _any_held(snapshot, request)
    if plan.considered:
        where = " in this range" if request.start or request.end else ""
        if plan.considered == 1:
            text = f"the only {'other ' if held else ''}partition{where} is up to date"
        else:
            text = f"all {plan.considered:,} {'other ' if held else ''}partitions{where} are up to date"
        return text + _stale_above(snapshot, request)
    if held:
        return "all of it is held"
    names: dict[str, list[str]] = {}
    for selection in graph.select(request.select, snapshot.datasets, snapshot.sources):
        names.setdefault(_nothing_in(snapshot.grids[selection.name], request), []).append(selection.name)
    return "; ".join(f"{reason} ({listed(found)})" for reason, found in names.items())


def _any_held(snapshot: Snapshot, request: Request) -> bool:
    wanted = wanted_by(snapshot, request)
    return any(mask[index] for name, mask in wanted.items() for index in snapshot.heads[name].held)


def _stale_above(snapshot: Snapshot, request: Request) -> str:
    """Return what is stale of what the selected datasets are made from, and how it is asked for, if it was left out."""
    picked = [one for one in graph.select(request.select, snapshot.datasets, snapshot.sources) if one.up is not None]
    wanted = wanted_by(snapshot, request)
    names: dict[str, None] = {}
    asking = []
    for selection in picked if request.select else ():
        above = upwards(snapshot, {selection.name: in_range(snapshot, selection.name, request)}, None)
        found = [name for name, mask in above.items() if _any_stale(snapshot, name, mask, wanted.get(name))]
        if found:
            names.update(dict.fromkeys(found))
            asking.append(f"+{selection.name}")
    if not names:
        return ""
    return f"; {listed(sorted(names))} upstream {'is' if len(names) == 1 else 'are'} stale: {listed(asking)}"


def _any_stale(snapshot: Snapshot, name: str, mask: NDArray[np.bool_], wanted: NDArray[np.bool_] | None) -> bool:
    """Return whether any of some partitions needs a rebuild that was not asked for; what is held does not count."""
    if name not in snapshot.datasets:
        return False
    needed = mask & (stale(snapshot, name) != Why.NONE)
    if wanted is not None:
        needed &= ~wanted
    needed[list(snapshot.heads[name].held)] = False
    return bool(needed.any())


def _nothing_in(grid: Grid, request: Request) -> str:
    """Return why no partition of a grid is in a range."""
    start_ms, end_ms = range_of(grid, request)
    if grid.axis is not None and grid.bounds is not None and grid.is_open:
        last_ms = int(grid.bounds[-1])
        following = boundaries(grid.axis, last_ms + LONGEST_MS[grid.axis.unit])
        if len(following) > grid.n_times + 1 and (end_ms is None or end_ms > last_ms):
            ends = at_ms(int(following[grid.n_times + 1]), zone_of(grid.axis.zone)).isoformat(timespec="minutes")
            if start_ms is None or start_ms < following[grid.n_times + 1]:
                return f"no window in this range has ended yet, the next one ends at {ends}"
            return f"this range has not come yet, the next window ends at {ends}"
    if grid.size:
        return f"no partition is in this range, they go from {grid.key(0)} to {grid.key(grid.size - 1)}"
    return grid.describe().removesuffix(".").lower()
