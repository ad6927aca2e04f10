"""Headgate: backfills that are safe to run beside fresh data.

Only names: each is imported when it is first used, so that `import headgate` costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from headgate.errors import ConflictError as ConflictError
    from headgate.errors import HeadgateError as HeadgateError
    from headgate.errors import InternalError as InternalError
    from headgate.errors import UnavailableError as UnavailableError
    from headgate.errors import UsageError as UsageError
    from headgate.model.partitioning import daily as daily
    from headgate.model.partitioning import hourly as hourly
    from headgate.model.partitioning import minutely as minutely
    from headgate.model.partitioning import monthly as monthly
    from headgate.model.partitioning import product as product
    from headgate.model.partitioning import static as static
    from headgate.model.partitioning import weekly as weekly
    from headgate.model.policy import FailureMode as FailureMode
    from headgate.project.batch import Batch as Batch
    from headgate.project.context import Context as Context
    from headgate.project.declare import dataset as dataset
    from headgate.project.declare import source as source
    from headgate.project.failure_modes import failure as failure
    from headgate.project.gates import accepted_values as accepted_values
    from headgate.project.gates import check as check
    from headgate.project.gates import foreign_key as foreign_key
    from headgate.project.gates import freshness as freshness
    from headgate.project.gates import in_range as in_range
    from headgate.project.gates import moves as moves
    from headgate.project.gates import not_null as not_null
    from headgate.project.gates import pandera as pandera
    from headgate.project.gates import row_count as row_count
    from headgate.project.gates import schema_contract as schema_contract
    from headgate.project.gates import sql as sql
    from headgate.project.gates import sums_match as sums_match
    from headgate.project.gates import unique as unique
    from headgate.project.mappings import all_partitions as all_partitions
    from headgate.project.mappings import custom as custom
    from headgate.project.mappings import fixed as fixed
    from headgate.project.mappings import input as input  # noqa: A004
    from headgate.project.mappings import offset as offset
    from headgate.project.mappings import overlap as overlap
    from headgate.project.mappings import trailing as trailing
    from headgate.views.table import Table as Table
    from headgate.views.table import read as read
    from headgate.worker.inputs import InputFiles as InputFiles
    from headgate.worker.postgres import load_postgres as load_postgres

__version__ = "0.1.0"

_MODULES = {
    "ConflictError": "headgate.errors",
    "HeadgateError": "headgate.errors",
    "InternalError": "headgate.errors",
    "UnavailableError": "headgate.errors",
    "UsageError": "headgate.errors",
    "daily": "headgate.model.partitioning",
    "hourly": "headgate.model.partitioning",
    "minutely": "headgate.model.partitioning",
    "monthly": "headgate.model.partitioning",
    "product": "headgate.model.partitioning",
    "static": "headgate.model.partitioning",
    "weekly": "headgate.model.partitioning",
    "FailureMode": "headgate.model.policy",
    "Batch": "headgate.project.batch",
    "Context": "headgate.project.context",
    "all_partitions": "headgate.project.mappings",
    "custom": "headgate.project.mappings",
    "dataset": "headgate.project.declare",
    "failure": "headgate.project.failure_modes",
    "fixed": "headgate.project.mappings",
    "input": "headgate.project.mappings",
    "offset": "headgate.project.mappings",
    "overlap": "headgate.project.mappings",
    "source": "headgate.project.declare",
    "trailing": "headgate.project.mappings",
    "accepted_values": "headgate.project.gates",
    "check": "headgate.project.gates",
    "foreign_key": "headgate.project.gates",
    "freshness": "headgate.project.gates",
    "in_range": "headgate.project.gates",
    "moves": "headgate.project.gates",
    "not_null": "headgate.project.gates",
    "pandera": "headgate.project.gates",
    "row_count": "headgate.project.gates",
    "schema_contract": "headgate.project.gates",
    "sql": "headgate.project.gates",
    "sums_match": "headgate.project.gates",
    "unique": "headgate.project.gates",
    "Table": "headgate.views.table",
    "read": "headgate.views.table",
    "InputFiles": "headgate.worker.inputs",
    "load_postgres": "headgate.worker.postgres",
}

__all__ = [
    "Batch",
    "ConflictError",
    "Context",
    "FailureMode",
    "HeadgateError",
    "InputFiles",
    "InternalError",
    "Table",
    "UnavailableError",
    "UsageError",
    "__version__",
    "accepted_values",
    "all_partitions",
    "check",
    "custom",
    "daily",
    "dataset",
    "failure",
    "fixed",
    "foreign_key",
    "freshness",
    "hourly",
    "in_range",
    "input",
    "load_postgres",
    "minutely",
    "monthly",
    "moves",
    "not_null",
    "offset",
    "overlap",
    "pandera",
    "product",
    "read",
    "row_count",
    "schema_contract",
    "source",
    "sql",
    "static",
    "sums_match",
    "trailing",
    "unique",
    "weekly",
]


def __getattr__(name: str) -> object:
    """Import a public name when it is first used (PEP 562)."""
    module = _MODULES.get(name)
    if module is None:
        raise AttributeError(f"module 'headgate' has no attribute {name!r}")
    value: object = getattr(import_module(module), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """List the public names, imported or not."""
    return sorted({*globals(), *__all__})
