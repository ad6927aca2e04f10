"""Forecasts as people read them: when a plan would be done, what it takes and costs, and how earlier ones fared."""

from __future__ import annotations

from typing import TYPE_CHECKING

from headgate.cli.text import counted, duration, plain, size, table

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from headgate.model.forecast import Accuracy, ChainLink, Cost, DatasetForecast, Forecast
    from headgate.views.forecast import Hindsight

SHOWN_LINKS = 8
SHOWN_NAMES = 6
SHOWN_DATASETS = 12
_FEW = 0.02
"""An error of less than that is none."""
_TIMES = 3
"""From so large a factor on that is said, and no share."""


def forecast_lines(found: Forecast) -> list[str]:
    """Return a forecast in a few lines, the most important one first."""
    lines = [_when(found)]
    if found.failed:
        lines.append(
            f"{found.failed:,.1f} partitions would not be built, because their attempts fail too often: "
            f"{100 * found.complete:.0f} % of the runs build everything"
        )
    lines.append(", ".join(_work(found)))
    lines.append(f"longest chain {length(found.chain_ms)}: {chain_text(found.chain)}")
    if found.widest is not None:
        lines[-1] += f"; widest stage: {plain(found.widest.dataset)} x {found.widest.partitions:,}"
    lines += basis_lines(found.datasets)
    if found.accuracy is not None:
        lines.append(accuracy_text(found.accuracy))
    return lines


def forecast_table(datasets: Sequence[DatasetForecast]) -> str:
    """Return what each dataset of a plan takes; of many, those whose attempts take the longest together."""
    shown = set(sorted(range(len(datasets)), key=lambda n: -datasets[n].busy_ms)[:SHOWN_DATASETS])
    has_cost = any(one.cost for one in datasets)
    rows = [
        (
            one.name,
            f"{one.partitions:,}",
            length(one.typical_ms),
            length(one.busy_ms),
            length(one.p90_ms, "never"),
            _bytes(one.read_bytes),
            _bytes(one.written_bytes),
            *([cost_text(one.cost) if one.cost else ""] if has_cost else []),
        )
        for n, one in enumerate(datasets)
        if n in shown
    ]
    header = ("dataset", "build", "each", "together", "done after", "reads", "writes", *(["costs"] if has_cost else []))
    more = len(datasets) - len(rows)
    text = table(header, rows, right=frozenset(range(1, len(header))))
    return f"{text}\n  and {counted(more, 'more dataset')}" if more else text


def basis_lines(datasets: Sequence[DatasetForecast]) -> Iterator[str]:
    """Yield where durations come from that no history says."""
    said: dict[tuple[str, int], list[str]] = {}
    for one in datasets:
        if one.basis in {"assumed", "declared"}:
            said.setdefault((one.basis, one.typical_ms), []).append(one.name)
    for (basis, typical_ms), names in said.items():
        yield f"no history of {_names(names)}: {basis} {_typical(typical_ms)} for each attempt"


def _typical(ms: int) -> str:
    return f"{ms / 1000:g} s" if ms < 60_000 else length(ms)


def chain_text(chain: Sequence[ChainLink]) -> str:
    """Return a chain on one line."""
    links = [
        f"{plain(link.dataset)}{f' x {link.partitions:,}' if link.partitions > 1 else ''} ({length(link.elapsed_ms)})"
        for link in chain[:SHOWN_LINKS]
    ]
    more = [counted(len(chain) - SHOWN_LINKS, "more step")] if len(chain) > SHOWN_LINKS else []
    return " > ".join([*links, *more])


def accuracy_text(found: Accuracy) -> str:
    """Return how the last forecasts fared, in one line."""
    if found.runs == 1:
        return f"the last forecast of this project was {_error(found.error)}"
    return (
        f"the last {found.runs} forecasts of this project were {_error(found.error)} in the middle; "
        f"{found.within_p90} of {found.runs} runs were done within the 90 %"
    )


def hindsight_text(found: Hindsight) -> str:
    """Return what was forecast of a run beside what it took, as a table."""
    told = found.forecast
    rows = [
        ("done after", length(told.p50_ms, "never"), length(found.elapsed_ms, "not yet"), ""),
        ("slots taken for", length(told.slot_ms), length(found.slot_ms), ""),
        ("read", _bytes(told.read_bytes), _bytes(found.read_bytes), ""),
        ("written", _bytes(told.written_bytes), _bytes(found.written_bytes), ""),
    ]
    if found.error is not None and not found.was_disturbed:
        rows[0] = (*rows[0][:3], _error(found.error))
    if told.cost is not None:
        rows.append(("cost", cost_text(told.cost), "", ""))
    text = table(("", "forecast", "actual", "the forecast was"), rows, right=frozenset({1, 2}))
    if not found.was_disturbed:
        return text
    return f"{text}\nit was interrupted or changed by hand, or some of it failed: its time says little of the forecast"


def cost_text(cost: Cost) -> str:
    """Return an amount of money; more than that if not all of it is known."""
    amount = f"{cost.amount:,.2f}" if cost.amount >= 0.01 or not cost.amount else f"{cost.amount:.2g}"
    return f"{'at least ' if cost.is_partial else ''}{amount}{f' {plain(cost.currency)}' if cost.currency else ''}"


def length(ms: int | None, unknown: str = "") -> str:
    """Return a length of time, in milliseconds where it is short."""
    return unknown if ms is None else f"{ms} ms" if ms < 1000 else duration(ms / 1000)


def _when(found: Forecast) -> str:
    runs = f"{counted(found.runs, 'simulated run')}{', neighbouring partitions as one' if found.is_coarse else ''}"
    if found.p50_ms is None or found.p90_ms is None:
        return f"would not end ({runs}): see `headgate simulate`"
    sure = f", 90 % sure below {length(found.p90_ms)}" if length(found.p90_ms) != length(found.p50_ms) else ""
    return f"{'ends after ' if found.failed else ''}about {length(found.p50_ms)}{sure} ({runs})"


def _work(found: Forecast) -> Iterator[str]:
    yield f"slots taken for {length(found.slot_ms)}"
    for pool in found.pools:
        yield f"of pool {plain(pool.name)} for {length(pool.slot_ms)}"
    if found.read_bytes is not None and found.written_bytes is not None:
        least = "at least " if found.unsized else ""
        yield f"{least}{size(found.read_bytes)} read, {least}{size(found.written_bytes)} written"
    if found.cost is not None:
        yield f"costs {cost_text(found.cost)}"


def _bytes(known: int | None) -> str:
    return "unknown" if known is None else size(known)


def _error(error: float) -> str:
    if abs(error) < _FEW:
        return "right"
    how = "long" if error > 0 else "short"
    factor = 1 + error if error > 0 else 1 / max(1 + error, 1e-6)
    if factor >= _TIMES:
        return f"{factor:,.0f} times too {how}"
    return f"{abs(error):.0%} too {how}".replace("%", " %")


def _names(names: Sequence[str]) -> str:
    shown = ", ".join(map(plain, names[:SHOWN_NAMES]))
    return shown + (f" and {counted(len(names) - SHOWN_NAMES, 'more dataset')}" if len(names) > SHOWN_NAMES else "")
