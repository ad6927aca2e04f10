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
    from headgate.project.declare import failure as failure
    from headgate.project.declare import source as source
    from headgate.project.mappings import all_partitions as all_partitions
    from headgate.project.mappings import custom as custom
    from headgate.project.mappings import fixed as fixed
    from headgate.project.mappings import input as input  # noqa: A004
    from headgate.project.mappings import offset as offset
    from headgate.project.mappings import overlap as overlap
    from headgate.project.mappings import trailing as trailing
    from headgate.worker.inputs import InputFiles as InputFiles

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
    "failure": "headgate.project.declare",
    "fixed": "headgate.project.mappings",
    "input": "headgate.project.mappings",
    "offset": "headgate.project.mappings",
    "overlap": "headgate.project.mappings",
    "source": "headgate.project.declare",
    "trailing": "headgate.project.mappings",
    "InputFiles": "headgate.worker.inputs",
}

__all__ = [
    "Batch",
    "ConflictError",
    "Context",
    "FailureMode",
    "HeadgateError",
    "InputFiles",
    "InternalError",
    "UnavailableError",
    "UsageError",
    "__version__",
    "all_partitions",
    "custom",
    "daily",
    "dataset",
    "failure",
    "fixed",
    "hourly",
    "input",
    "minutely",
    "monthly",
    "offset",
    "overlap",
    "product",
    "source",
    "static",
    "trailing",
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
