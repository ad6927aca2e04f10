"""The gates of a dataset, evaluated on the content of one partition.

What gates ask of values is asked together, in one pass. A gate that breaks does not hold, and says so: nothing that
nobody could check is published as if it had been checked.
"""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, ParamSpec, TypeVar, assert_never

from headgate.model.gate import (
    AcceptedValues,
    Check,
    ForeignKey,
    Freshness,
    InRange,
    Moves,
    NotNull,
    Pandera,
    RowCount,
    SchemaContract,
    Sql,
    SumsMatch,
    Unique,
    columns_of,
)
from headgate.worker.failures import AttemptError, text_of
from headgate.worker.gates.examined import Finding, Measure, Table, Unfit, all_rows
from headgate.worker.messages import GateResult

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from headgate.model.gate import Gate
    from headgate.worker.gates.asks import Ask
    from headgate.worker.gates.examined import Examined

MAX_TEXT = 1_000

_Asked = ParamSpec("_Asked")
_Found = TypeVar("_Found")


def evaluate(gates: Sequence[Gate], examined: Examined) -> list[GateResult]:
    """Return what each gate finds, in their order.

    Raises:
        AttemptError: A file cannot be read, or is not what was pinned.
        MemoryError: There is not enough memory.
    """
    table = Table(examined, {column for gate in gates for column in columns_of(gate)})
    found = [_guarded(_begin, gate, table) for gate in gates]
    measures = [one for one in found if isinstance(one, Measure)]
    answers = iter(_measured(measures, table) if measures else ())
    return [
        _result(gate, next(answers) if isinstance(one, Measure) else one)
        for gate, one in zip(gates, found, strict=True)
    ]


def _result(gate: Gate, finding: Finding) -> GateResult:
    # Lone surrogates could not be encoded on their way to the coordinator.
    text = " ".join(finding.text.encode("utf-8", "backslashreplace").decode().split())
    text = text if len(text) <= MAX_TEXT else f"{text[: MAX_TEXT - 3]}..."
    return GateResult(gate.name, gate.severity, finding.holds, text)


def _guarded(look: Callable[_Asked, _Found], *asked: _Asked.args, **named: _Asked.kwargs) -> _Found | Finding:
    """Return what a gate finds; if it breaks, that."""
    try:
        return look(*asked, **named)
    except Unfit as error:
        return Finding(False, str(error))
    except (AttemptError, MemoryError):
        raise
    except BaseException as error:
        _raise_unless_it_broke(error)
        return Finding(False, f"it could not be evaluated: {type(error).__name__}: {text_of(error)}")


def _raise_unless_it_broke(error: BaseException) -> None:
    """Raise what is not about the question: a lack of memory, a stop from outside."""
    if type(error).__name__ == "OutOfMemoryException":
        raise MemoryError(text_of(error)) from error
    # A panic of Polars is no Exception.
    if not isinstance(error, Exception) and type(error).__name__ != "PanicException":
        raise error


def _measured(measures: Sequence[Measure], table: Table) -> list[Finding]:
    """Return what measures find: of a large table in one query if none of them breaks, else each by itself."""
    if table.small is None:
        try:
            values = iter(_asked([ask for one in measures for ask in one.asks], table))
        except (AttemptError, MemoryError):
            raise
        except BaseException as error:
            _raise_unless_it_broke(error)
        else:
            return [_guarded(one.judge, list(islice(values, len(one.asks)))) for one in measures]
    return [_guarded(_measured_alone, one, table) for one in measures]


def _measured_alone(measure: Measure, table: Table) -> Finding:
    return measure.judge(_asked(measure.asks, table))


def _asked(asks: Sequence[Ask], table: Table) -> Sequence[object]:
    if table.small is not None:
        return [ask.answer(table.small) for ask in asks]
    if not asks:
        return ()
    return (
        table.frame.select(ask.expression().alias(f"{n}") for n, ask in enumerate(asks))
        .collect(engine="streaming")
        .row(0)
    )


def _begin(gate: Gate, table: Table) -> Finding | Measure:
    """Return what a gate finds, or what it asks of the values."""
    if isinstance(gate, RowCount | SchemaContract | Sql | Check | Pandera):
        return _by_itself(gate, table.examined)
    from headgate.worker.gates import comparisons, values

    match gate:
        case NotNull():
            return values.not_null(gate, table)
        case Unique():
            return values.unique(gate, table)
        case AcceptedValues():
            return values.accepted_values(gate, table)
        case InRange():
            return values.in_range(gate, table)
        case Freshness():
            return values.freshness(gate, table)
        case ForeignKey():
            return comparisons.foreign_key(gate, table)
        case SumsMatch():
            return comparisons.sums_match(gate, table)
        case Moves():
            return comparisons.moves(gate, table)
        case _:
            assert_never(gate)


def _by_itself(gate: RowCount | SchemaContract | Sql | Check | Pandera, examined: Examined) -> Finding:
    match gate:
        case RowCount():
            from headgate.worker.gates.comparisons import row_count

            return row_count(gate, examined)
        case SchemaContract():
            return _schema_contract(gate, examined)
        case Sql():
            from headgate.worker.gates.queries import sql

            return sql(gate, examined)
        case Check():
            from headgate.worker.gates.functions import check

            return check(gate, examined)
        case Pandera():
            from headgate.worker.gates.pandera_schemas import pandera

            return pandera(gate, examined)
        case _:
            assert_never(gate)


def _schema_contract(gate: SchemaContract, examined: Examined) -> Finding:
    """Compare the columns of the files with those that were promised."""
    found = dict(examined.schema)
    promised = dict(gate.columns)
    lacking = [name for name in promised if name not in found]
    wrong = [
        f"{name} is {found[name]} instead of {kind}"
        for name, kind in gate.columns
        if name in found and kind is not None and found[name] != kind
    ]
    more = [] if gate.extra else [name for name in found if name not in promised]
    parts = [f"there is no {', '.join(lacking)}"] if lacking else []
    parts += wrong
    parts += [f"there is {', '.join(more)} besides"] if more else []
    return Finding(not parts, "; ".join(parts) or f"{len(found)} columns, {all_rows(examined.count)}")
