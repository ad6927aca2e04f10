"""Whether what the state store says and what lies in the data folder are the same."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from typing import TYPE_CHECKING

from headgate.model.calendar import zone_of
from headgate.tables import layout
from headgate.views.verification import Examiner

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path
    from zoneinfo import ZoneInfo

    from headgate.model.dataset import Dataset
    from headgate.model.grid import Grid
    from headgate.store.store import Store

EVERY = 2**62


@dataclass(frozen=True, slots=True)
class StateCheck:
    """What was looked at, and what is wrong.

    Args:
        heads: Heads of datasets that were compared with their files.
        files: Files that were read and hashed.
        bytes: Their size.
        problems: What is wrong, as sentences; none when all is well.
        orphans: Files that no version has; they do no harm, and the next run removes those of attempts that ended.
        damaged: Dataset and key of each head that has a missing or changed file.
        unowned: Runs with attempts that are recorded as running while no coordinator is alive.
    """

    heads: int
    files: int
    bytes: int
    problems: tuple[str, ...]
    orphans: tuple[str, ...]
    damaged: tuple[tuple[str, str], ...]
    unowned: tuple[str, ...]

    @property
    def ok(self) -> bool:
        """Return whether nothing is wrong."""
        return not self.problems


def check_state(store: Store, data_root: Path, sources: frozenset[str]) -> StateCheck:
    """Compare the state store with itself and with the data folder; read every published file.

    Args:
        store: The state store.
        data_root: The data folder.
        sources: Names whose files are not Headgate's.
    """
    problems = store.check()
    is_led = store.leader() is not None
    attempts = store.running_attempts()
    running = {attempt.id for attempt in attempts}
    unowned = () if is_led else tuple(dict.fromkeys(attempt.run for attempt in attempts))
    on_disk = sorted(layout.attempts_on_disk(data_root))
    heads = 0
    examiner = Examiner(data_root, with_content=True)
    damaged: dict[tuple[str, str], None] = {}
    made: set[int] = set()
    for name in store.datasets():
        if name in sources:
            continue
        for version, differences in examiner.examine(list(store.heads(name))):
            heads += 1
            for what in differences:
                problems.append(f"the head of {name} {version.key} (version {version.id}): {what}")
                damaged[name, version.key] = None
        made.update(checkpoint.version for checkpoint in store.checkpoints(name, limit=EVERY))
    for run in store.staged_runs():
        staged = [change.after for change in store.changes(run) if change.after != change.before]
        for version, differences in examiner.examine(staged):
            made.add(version.id)
            staged_as = f"{version.dataset} {version.key} (version {version.id})"
            problems += [f"what run {run} has staged of {staged_as}: {what}" for what in differences]
    ceiling = store.next_id()
    # Parts are published by a later attempt than the one that made them.
    in_use = store.parts_in_use(attempt for _, attempt in on_disk if attempt not in made)
    orphans = []
    for path, attempt in on_disk:
        if attempt >= ceiling:
            problems.append(
                f"{path} was made by attempt {attempt}, but the state store knows only attempts below {ceiling}: "
                "it is older than the data"
            )
        elif attempt not in made and attempt not in running and path not in in_use:
            orphans.append(path)
    return StateCheck(heads, examiner.files, examiner.bytes, tuple(problems), tuple(orphans), tuple(damaged), unowned)


def next_steps(found: StateCheck, datasets: Mapping[str, Dataset], now_ms: int) -> tuple[tuple[str, ...], ...]:
    """Return the commands that mend what was found, each as words; none for what no command mends.

    Args:
        found: What was found.
        datasets: The project's datasets by name.
        now_ms: The instant up to which windows count as ended.
    """
    return (*(("resume", run) for run in found.unowned), *rebuilding(found.damaged, datasets, now_ms))


def rebuilding(
    damaged: Sequence[tuple[str, str]], datasets: Mapping[str, Dataset], now_ms: int
) -> tuple[tuple[str, ...], ...]:
    """Return the commands that rebuild partitions, each as words: one for each dataset that the project has.

    Args:
        damaged: Dataset and key of each.
        datasets: The project's datasets by name.
        now_ms: The instant up to which windows count as ended.
    """
    steps: list[tuple[str, ...]] = []
    for name in dict.fromkeys(name for name, _ in damaged):
        if name in datasets and (
            chosen := selection([key for one, key in damaged if one == name], datasets[name], now_ms)
        ):
            steps.append(("backfill", *chosen, "--all", "--reason", "repair"))
    return tuple(steps)


def selection(keys: Sequence[str], dataset: Dataset, now_ms: int) -> tuple[str, ...]:
    """Return the words that select partitions of a dataset on a command line, from the first window to the last.

    Args:
        keys: Their keys.
        dataset: The dataset.
        now_ms: The instant up to which windows count as ended.

    Returns:
        None of it if the dataset has none of these partitions any more.
    """
    grid = dataset.partitioning.grid(now_ms)
    indices = [index for key in keys if (index := grid.find(key)) is not None]
    return (dataset.name, *_range(grid, indices)) if indices else ()


def _range(grid: Grid, indices: list[int]) -> tuple[str, ...]:
    """Return the options that select the windows from the first to the last of some partitions."""
    windows = [window for index in indices if (window := grid.window(index)) is not None]
    if grid.axis is None or not windows:
        return ()
    zone = zone_of(grid.axis.zone)
    start_ms, end_ms = min(start for start, _ in windows), max(end for _, end in windows)
    return "--start", _date(start_ms, zone), "--end", _date(end_ms, zone)


def _date(instant_ms: int, zone: ZoneInfo) -> str:
    moment = (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=instant_ms)).astimezone(zone)
    return f"{moment:%Y-%m-%d}" if moment.time() == time() else moment.isoformat()
