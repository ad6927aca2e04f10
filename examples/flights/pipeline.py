"""A year of flights from New York, joined with the weather, cut into days and months.

Every file that lands is text with NA for what is not known; here it becomes typed tables. A day is a day of
New York: it has 23 hours on 2013-03-10 and 25 on 2013-11-03.
"""

from __future__ import annotations

from datetime import date

import polars as pl

import headgate as hg

DAYS = hg.daily("2013-01-01", "2014-01-01", tz="America/New_York")
MONTHS = hg.monthly("2013-01-01", "2014-01-01", tz="America/New_York")

landed_flights = hg.source("landed_flights", path="landing/flights/{key}.csv", format="csv-text", partitions=DAYS)
landed_weather = hg.source("landed_weather", path="landing/weather/{key}.csv", format="csv-text", partitions=DAYS)
landed_airlines = hg.source("landed_airlines", path="landing/airlines.csv", format="csv-text")
landed_airports = hg.source("landed_airports", path="landing/airports.csv", format="csv-text")

TEXT = pl.String()
INTEGER = pl.Int64()
REAL = pl.Float64()
INSTANT = pl.Datetime("us", "UTC")


def columns(**types: pl.DataType) -> list[pl.Expr]:
    """Return the landed columns with their types and NA as null; a value that does not fit its type is an error."""
    return [column(name, dtype).alias(name) for name, dtype in types.items()]


def column(name: str, dtype: pl.DataType) -> pl.Expr:
    """Return the expression that parses one landed column."""
    text = pl.col(name).cast(pl.String)
    known = pl.when(text != "NA").then(text)
    if dtype == INSTANT:
        return known.str.to_datetime("%Y-%m-%dT%H:%M:%SZ", time_unit="us", time_zone="UTC")
    return known.cast(dtype)


FLIGHT = columns(
    year=INTEGER,
    month=INTEGER,
    day=INTEGER,
    dep_time=INTEGER,
    sched_dep_time=INTEGER,
    dep_delay=INTEGER,
    arr_time=INTEGER,
    sched_arr_time=INTEGER,
    arr_delay=INTEGER,
    carrier=TEXT,
    flight=INTEGER,
    tailnum=TEXT,
    origin=TEXT,
    dest=TEXT,
    air_time=INTEGER,
    distance=INTEGER,
    hour=INTEGER,
    minute=INTEGER,
    time_hour=INSTANT,
)
WEATHER = columns(
    origin=TEXT,
    year=INTEGER,
    month=INTEGER,
    day=INTEGER,
    hour=INTEGER,
    temp=REAL,
    dewp=REAL,
    humid=REAL,
    wind_dir=INTEGER,
    wind_speed=REAL,
    wind_gust=REAL,
    precip=REAL,
    pressure=REAL,
    visib=REAL,
    time_hour=INSTANT,
)
AIRLINE = columns(carrier=TEXT, name=TEXT)
AIRPORT = columns(faa=TEXT, name=TEXT, lat=REAL, lon=REAL, alt=INTEGER, tz=INTEGER, dst=TEXT, tzone=TEXT)


@hg.dataset(partitions=DAYS)
def flights(landed_flights: pl.DataFrame) -> pl.DataFrame:
    """Departures of a day, typed; `time_hour` is the scheduled hour in UTC."""
    return landed_flights.select(FLIGHT)


@hg.dataset(partitions=DAYS)
def weather(landed_weather: pl.DataFrame) -> pl.DataFrame:
    """Observations of a day, one for each airport and hour.

    On 2013-11-03 the local hour 1 comes twice, an hour apart: `time_hour` tells them apart, `hour` does not.
    """
    return landed_weather.select(WEATHER).unique(["origin", "time_hour"], keep="first", maintain_order=True)


@hg.dataset(partitions=DAYS)
def flights_weather(flights: pl.DataFrame, weather: pl.DataFrame) -> pl.DataFrame:
    """Every flight, with the weather of its scheduled hour where there is any."""
    observed = weather.drop("year", "month", "day", "hour")
    return flights.join(observed, on=["origin", "time_hour"], how="left", validate="m:1", maintain_order="left")


@hg.dataset(partitions=DAYS)
def carrier_delays(flights: pl.DataFrame) -> pl.DataFrame:
    """Delays of each carrier on a day, in minutes.

    `flights` counts all of them, `departed` and `arrived` those that have a delay (the others were cancelled or
    diverted).
    """
    return (
        flights.group_by("year", "month", "day", "carrier")
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


@hg.dataset(partitions=MONTHS)
def carrier_delays_monthly(carrier_delays: pl.DataFrame, flights: pl.LazyFrame) -> pl.DataFrame:
    """Delays of each carrier in a month, in minutes.

    Counts are sums of the daily counts and means are daily means weighted by their counts. Percentiles do not
    add up, so they are taken from the flights themselves.
    """
    days = carrier_delays.group_by("year", "month", "carrier").agg(
        pl.col("flights", "departed").sum(),
        dep_delay_mean=weighted("dep_delay_mean", "departed"),
        arrived=pl.col("arrived").sum(),
        arr_delay_mean=weighted("arr_delay_mean", "arrived"),
    )
    percentiles = (
        flights.group_by("carrier")
        .agg(
            dep_delay_p90=pl.col("dep_delay").quantile(0.9, "linear"),
            arr_delay_p90=pl.col("arr_delay").quantile(0.9, "linear"),
        )
        .collect()
    )
    return days.join(percentiles, on="carrier", how="left", validate="1:1").sort("carrier")


def weighted(mean: str, count: str) -> pl.Expr:
    """Return the mean of whole minutes over groups, from each group's mean and count; null without any.

    A mean times its count is a whole number but for the last bits. Rounding takes them off, so the result does not
    depend on the order of the groups.
    """
    total = (pl.col(mean) * pl.col(count)).round().sum()
    return pl.when(pl.col(count).sum() > 0).then(total / pl.col(count).sum())


@hg.dataset(partitions=DAYS, inputs={"flights_weather": hg.trailing(7)})
def origin_trend(flights_weather: pl.LazyFrame, ctx: hg.Context) -> pl.DataFrame:
    """The last seven days at each origin; the first days of the year have fewer, `days` says how many.

    A flight is late that departs more than 15 minutes after its time.
    """
    last = date.fromisoformat(ctx.key)
    return (
        flights_weather.group_by("origin")
        .agg(
            days=pl.struct("year", "month", "day").n_unique().cast(pl.Int64),
            flights=pl.len().cast(pl.Int64),
            cancelled=pl.col("dep_time").null_count().cast(pl.Int64),
            late=(pl.col("dep_delay") > 15).sum().cast(pl.Int64),
            dep_delay_mean=pl.col("dep_delay").mean(),
            # Rounded: the last bits of a sum of fractions depend on the order of the rows.
            temp_mean=pl.col("temp").mean().round(2),
        )
        .select(*(pl.lit(getattr(last, part), pl.Int64).alias(part) for part in ("year", "month", "day")), pl.all())
        .sort("origin")
        .collect()
    )


@hg.dataset
def airlines(landed_airlines: pl.DataFrame) -> pl.DataFrame:
    """Names of the carriers."""
    return landed_airlines.select(AIRLINE)


@hg.dataset
def airports(landed_airports: pl.DataFrame) -> pl.DataFrame:
    """Names and places of the airports."""
    return landed_airports.select(AIRPORT)
