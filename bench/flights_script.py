"""The flights year as one would write it by hand: a process pool, Polars and Parquet, and no state.

    python bench/flights_script.py LANDING OUT

Makes the tables of examples/flights, one file for each partition. It is what Headgate is measured against: nothing
in here is slower than it has to be.
"""

from __future__ import annotations

import multiprocessing
import os
import sys
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

# Two processes share the cores; one thread each is faster than two.
os.environ["POLARS_MAX_THREADS"] = "1"

import polars as pl

PROCESSES = 2
TYPES = {
    pl.Int64: "year month day dep_time sched_dep_time dep_delay arr_time sched_arr_time arr_delay flight air_time "
    "distance hour minute wind_dir alt tz",
    pl.Float64: "temp dewp humid wind_speed wind_gust precip pressure visib lat lon",
}
CASTS = {name: pl.col(name).cast(dtype) for dtype, names in TYPES.items() for name in names.split()}
CASTS["time_hour"] = pl.col("time_hour").str.to_datetime("%Y-%m-%dT%H:%M:%SZ", time_unit="us", time_zone="UTC")


def read(path: Path) -> pl.DataFrame:
    frame = pl.read_csv(path, infer_schema=False, null_values="NA")
    return frame.with_columns(CASTS.get(name, pl.col(name)) for name in frame.columns)


def write(frame: pl.DataFrame, out: Path, dataset: str, key: str) -> None:
    frame.write_parquet(out / dataset / f"{key}.parquet", compression="zstd")


def delays(frame: pl.DataFrame, *by: str) -> pl.DataFrame:
    return (
        frame.group_by(*by, "carrier")
        .agg(
            flights=pl.len().cast(pl.Int64),
            departed=pl.col("dep_delay").count().cast(pl.Int64),
            dep_delay_mean=pl.col("dep_delay").mean(),
            dep_delay_p90=pl.col("dep_delay").quantile(0.9, "linear"),
            arrived=pl.col("arr_delay").count().cast(pl.Int64),
            arr_delay_mean=pl.col("arr_delay").mean(),
            arr_delay_p90=pl.col("arr_delay").quantile(0.9, "linear"),
        )
        .sort("carrier")
    )


def day(landing: Path, out: Path, key: str) -> None:
    flights = read(landing / "flights" / f"{key}.csv")
    weather = read(landing / "weather" / f"{key}.csv").unique(["origin", "time_hour"], maintain_order=True)
    joined = flights.join(weather.drop("year", "month", "day", "hour"), on=["origin", "time_hour"], how="left")
    write(flights, out, "flights", key)
    write(weather, out, "weather", key)
    write(joined, out, "flights_weather", key)
    write(delays(flights, "year", "month", "day"), out, "carrier_delays", key)


def month(out: Path, key: str) -> None:
    daily = pl.read_parquet(out / "carrier_delays" / f"{key}-*.parquet")
    counts = daily.group_by("year", "month", "carrier").agg(pl.col("flights", "departed", "arrived").sum())
    columns = ["year", "month", "carrier", "dep_delay", "arr_delay"]
    flights = pl.read_parquet(out / "flights" / f"{key}-*.parquet", columns=columns)
    rest = delays(flights, "year", "month").drop("flights", "departed", "arrived")
    write(counts.join(rest, on=["year", "month", "carrier"]).sort("carrier"), out, "carrier_delays_monthly", key)


def trend(out: Path, keys: list[str]) -> None:
    year, month_, day_ = (pl.lit(int(part), pl.Int64) for part in keys[-1].split("-"))
    files = [out / "flights_weather" / f"{key}.parquet" for key in keys]
    columns = ["year", "month", "day", "origin", "dep_time", "dep_delay", "temp"]
    frame = (
        pl.read_parquet(files, columns=columns)
        .group_by("origin")
        .agg(
            days=pl.struct("year", "month", "day").n_unique().cast(pl.Int64),
            flights=pl.len().cast(pl.Int64),
            cancelled=pl.col("dep_time").null_count().cast(pl.Int64),
            late=(pl.col("dep_delay") > 15).sum().cast(pl.Int64),
            dep_delay_mean=pl.col("dep_delay").mean(),
            temp_mean=pl.col("temp").mean().round(2),
        )
        .select(year.alias("year"), month_.alias("month"), day_.alias("day"), pl.all())
        .sort("origin")
    )
    write(frame, out, "origin_trend", keys[-1])


def main(landing: Path, out: Path) -> None:
    keys = sorted(path.stem for path in (landing / "flights").glob("*.csv"))
    months = sorted({key[:7] for key in keys})
    weeks = [keys[max(0, last - 6) : last + 1] for last in range(len(keys))]
    datasets = "flights weather flights_weather carrier_delays carrier_delays_monthly origin_trend airlines airports"
    for dataset in datasets.split():
        (out / dataset).mkdir(parents=True)
    with ProcessPoolExecutor(PROCESSES, multiprocessing.get_context("spawn")) as pool:
        list(pool.map(partial(day, landing, out), keys, chunksize=4))
        monthly = pool.map(partial(month, out), months)
        list(pool.map(partial(trend, out), weeks, chunksize=4))
        list(monthly)
    write(read(landing / "airlines.csv"), out, "airlines", "all")
    write(read(landing / "airports.csv"), out, "airports", "all")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
