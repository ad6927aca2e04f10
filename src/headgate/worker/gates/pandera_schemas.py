"""Gates that are Pandera schemas or models. The one file that knows Pandera, and only by what schemas raise."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from headgate.project.functions import InputKind
from headgate.worker.failures import text_of
from headgate.worker.gates.examined import Finding, all_rows

if TYPE_CHECKING:
    from headgate.model.gate import Pandera
    from headgate.worker.gates.examined import Examined

_SHOWN = 3


def pandera(gate: Pandera, examined: Examined) -> Finding:
    """Validate the rows."""
    from pandera.errors import SchemaError, SchemaErrors

    kind = InputKind.PANDAS_DATA_FRAME if _is_of_pandas(gate.schema) else InputKind.POLARS_DATA_FRAME
    try:
        gate.schema.validate(examined.rows.as_kind(kind), lazy=True)
    except SchemaErrors as error:
        failures = [_failure(one) for one in error.schema_errors]
        return Finding(False, "; ".join(failures[:_SHOWN]) + ("; ..." if len(failures) > _SHOWN else ""))
    except SchemaError as error:
        return Finding(False, _failure(error))
    return Finding(True, all_rows(examined.count))


def _failure(error: Any) -> str:
    column = getattr(getattr(error, "schema", None), "name", None)
    found = getattr(error, "check", None)
    name = getattr(found, "error", None) or getattr(found, "name", None) or found
    return f"{column}: {name}" if column and name else text_of(error)[:200]


def _is_of_pandas(schema: Any) -> bool:
    """Return whether a schema is one for pandas: Pandera has a class of the same name for each library."""
    kinds = schema.__mro__ if isinstance(schema, type) else type(schema).__mro__
    return not any("polars" in kind.__module__ for kind in kinds)
