"""What a run is expected to take, and how earlier forecasts fared."""

from __future__ import annotations

from dataclasses import dataclass

COST_DIGITS = 9
"""Decimals of costs: thousands of cheap datasets add up, and no sum exceeds a limit by the last digit of a float."""


@dataclass(frozen=True, slots=True)
class Cost:
    """Money, by the rates of headgate.toml; `is_partial` if it leaves out bytes that are not known."""

    amount: float
    currency: str
    is_partial: bool


@dataclass(frozen=True, slots=True)
class DatasetForecast:
    """What the attempts of a dataset are expected to take.

    Args:
        name: The dataset.
        partitions: How many are built.
        attempts: How many attempts that takes, the mean over the simulated runs; a ranged one counts once.
        typical_ms: What one attempt takes.
        busy_ms: What all of them take together, the mean over the simulated runs.
        basis: Where the durations come from: history, sizes (history and the bytes that are read), declared
            (headgate.toml), assumed, or given.
        read_bytes: What the partitions read; None where that is not known.
        written_bytes: What they write, likewise.
        p90_ms: In nine of ten simulated runs all of it was done so long after the start of the run; None if it was in
            fewer.
        cost: What that costs; None without rates.
    """

    name: str
    partitions: int
    attempts: float
    typical_ms: int
    busy_ms: int
    basis: str
    read_bytes: int | None
    written_bytes: int | None
    p90_ms: int | None = None
    cost: Cost | None = None


@dataclass(frozen=True, slots=True)
class PoolUse:
    """For how long the slots of a pool are taken, together."""

    name: str
    slot_ms: int


@dataclass(frozen=True, slots=True)
class ChainLink:
    """Neighbouring tasks of one dataset in a chain, and what they take."""

    dataset: str
    partitions: int
    elapsed_ms: int


@dataclass(frozen=True, slots=True)
class WidestStage:
    """The dataset of which the most partitions wait for no other one of it."""

    dataset: str
    partitions: int


@dataclass(frozen=True, slots=True)
class Accuracy:
    """How the last forecasts fared, of runs without failures, without interruption and without a hand on them.

    Runs of which durations were assumed, for want of a history, do not count.

    Args:
        runs: How many.
        error: By how much the middle of the forecast was too long, as a share of the actual time; below 0 for too
            short. The median.
        within_p90: How many took no longer than was 90 % sure.
    """

    runs: int
    error: float
    within_p90: int


@dataclass(frozen=True, slots=True)
class Forecast:
    """When a plan would be done, and what it would take.

    Args:
        runs: Simulated runs.
        p50_ms: Half of them took no longer; None if they never end.
        p90_ms: Nine of ten took no longer; None if fewer end.
        assumed: Datasets without a history, of which a duration is assumed.
        assumed_ms: That duration.
        declared: Datasets without a history, of which headgate.toml says a duration.
        complete: In which share of the simulated runs everything was built that can be.
        failed: How many partitions that can be built were not, the mean.
        is_coarse: Whether neighbouring partitions were simulated as one, because there are so many.
        datasets: What each dataset takes.
        slot_ms: For how long slots of workers are taken, together.
        pools: For how long the slots of pools are taken.
        read_bytes: What is read, as far as it is known; None if nothing is known.
        written_bytes: What is written, likewise.
        unsized: Datasets of which it is not known how much they read or write.
        cost: What that costs; None without rates.
        chain: The longest chain, by typical durations.
        chain_ms: What it takes: no number of slots makes the run faster.
        widest: The widest stage.
        accuracy: How the last forecasts fared; None if there were none.
    """

    runs: int
    p50_ms: int | None
    p90_ms: int | None
    assumed: tuple[str, ...] = ()
    assumed_ms: int = 0
    declared: tuple[str, ...] = ()
    complete: float = 1.0
    failed: float = 0.0
    is_coarse: bool = False
    datasets: tuple[DatasetForecast, ...] = ()
    slot_ms: int = 0
    pools: tuple[PoolUse, ...] = ()
    read_bytes: int | None = None
    written_bytes: int | None = None
    unsized: tuple[str, ...] = ()
    cost: Cost | None = None
    chain: tuple[ChainLink, ...] = ()
    chain_ms: int = 0
    widest: WidestStage | None = None
    accuracy: Accuracy | None = None
