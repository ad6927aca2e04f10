"""Content for gates to look at: staged as an attempt stages it."""

from dataclasses import replace
from itertools import count

import polars as pl
import pyarrow as pa

from headgate.project.context import Context
from headgate.tables.schema import schema_text
from headgate.tables.staging import stage
from headgate.worker.gates.evaluate import evaluate
from headgate.worker.gates.examined import Examined
from headgate.worker.inputs import InputFiles
from headgate.worker.messages import Baseline, FilePin

NO_BASELINE = Baseline(rows=None, neighbours=[], files=[], reads=[])
_DAY_MS = 86_400_000
_number = count()


class Scene:
    """Tables in files, and gates that look at them.

    Args:
        folder: Where the files lie.
    """

    def __init__(self, folder):
        self.folder = folder

    def files(self, *tables, key="2024-01-01"):
        """Return tables, each in a file of its own, as what a gate reads."""
        pins = []
        for table in map(_arrow, tables):
            staged = stage(self.folder / f"{next(_number)}.parquet", table.schema, table.to_batches())
            pins.append(FilePin(str(staged.path), staged.bytes, staged.hash, key))
        return InputFiles("flights", (key,), "parquet", tuple(pins), immutable=True)

    def examined(self, *tables, **named):
        """Return what gates look at: tables in files, with the window of 2024-01-01."""
        arrow = [_arrow(table) for table in tables]
        return replace(
            Examined(
                self.files(*arrow),
                sum(table.num_rows for table in arrow),
                schema_text(arrow[0].schema),
                Context("flights", "2024-01-01", (19723 * _DAY_MS, 19724 * _DAY_MS), zone="UTC"),
            ),
            **named,
        )

    def look(self, gate, table, **named):
        """Return whether a gate holds for a table, and its text."""
        (result,) = evaluate([gate], self.examined(table, **named))
        assert result.gate == gate.name
        assert result.severity is gate.severity
        return result.passed, result.text

    def before(self, table, *, neighbours=()):
        """Return a table as the version that readers see."""
        files = self.files(table)
        return Baseline(rows=_arrow(table).num_rows, neighbours=list(neighbours), files=list(files.files), reads=[])


def _arrow(table):
    if isinstance(table, pa.Table):
        return table
    return (pl.DataFrame(table) if isinstance(table, dict) else table).to_arrow()
