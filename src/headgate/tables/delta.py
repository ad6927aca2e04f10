"""Delta Lake tables over data files that are there already: the only file that imports deltalake.

The log of such a table says nothing that the heads do not say. Whoever keeps it hands over the files that it should
name, and it is brought there in one commit, from whatever it names now. So a commit that did or did not take place
before a crash is made good by asking again.

The log takes whatever it is told: a file that is not there, another schema, a wrong size or a wrong bound show up when
somebody reads, as an error or as wrong rows. So everything is checked here before.
"""

from __future__ import annotations

import json
import time
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import unquote

import pyarrow as pa

from headgate.crashpoints import crash_point
from headgate.errors import ConflictError, UnavailableError, UsageError
from headgate.model.names import shown
from headgate.tables.footers import footer_of

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from deltalake import DeltaTable, Schema
    from deltalake.transaction import AddAction

    from headgate.tables.footers import Footer

APPLICATION = "headgate"
LOG = "_delta_log"

# Delta's own vacuum removes what a table does not name any more: what a rollback would bring back.
_PROPERTIES = {"delta.deletedFileRetentionDuration": "interval 36500 days"}
_NOT_IN_NAMES = frozenset(" ,;{}()\n\t=")
_WITHOUT_ZONE = "timestamp_ntz"
_MOST_DIGITS = 38


class MirroredFile(NamedTuple):
    """A data file as the log names it: its size, its rows, and when it was published."""

    bytes: int
    rows: int
    created_ms: int


class Reconciled(NamedTuple):
    """How many files came and went in the commit; none if there was nothing to commit."""

    added: int
    removed: int


def check_installed() -> None:
    """Check that mirrors can be kept.

    Raises:
        UsageError: The library is not there.
    """
    try:
        import deltalake  # noqa: F401
    except ImportError:
        raise UsageError(
            'mirror="delta" needs the deltalake library', hint='Install it: pip install "headgate[delta]".'
        ) from None


def reconcile(root: Path, want: Mapping[str, MirroredFile], seq: int) -> Reconciled:
    """Make the table name exactly some files, in one commit; none if it does already. Idempotent.

    Pre: nobody else writes to the table meanwhile; the files are there and never change.

    Args:
        root: Its folder.
        want: What it should name, by path relative to the folder.
        seq: The journal entry up to which that is so.

    Raises:
        UsageError: deltalake is missing, or Delta cannot hold a column: the table is left as it was.
        ConflictError: The table is not ours, or has followed a later journal entry.
        UnavailableError: A file cannot be read, or the log cannot be written.
    """
    check_installed()
    if unquote(str(root)) != str(root):
        raise UsageError(f"no Delta table can lie in {root}: its path has a % escape", hint="Move the project.")
    table = _open(root)
    if table is None:
        return _make(root, want, seq) if want else Reconciled(0, 0)
    _check_turn(table, root, seq)
    have = _named(table)
    gone = have.keys() - want.keys()
    new = {path: want[path] for path in sorted(want.keys() - have.keys())}
    if not gone and not new:
        return Reconciled(0, 0)
    footers = _footers(root, new)
    columns = _columns(footers, _columns_of_table(table), stays=bool(want.keys() & have.keys()))
    table = _prepared(table, root, columns)
    crash_point("mirror.before_commit")
    try:
        _commit(table, _Change(new, {path: have[path] for path in gone}, footers, columns), seq)
    except Exception as error:
        # Whether it took place is not known before the log is read again.
        if not _has_landed(root, want, seq):
            raise UnavailableError(f"the Delta log in {root} cannot be written: {_first_line(error)}") from error
    crash_point("mirror.after_commit")
    return Reconciled(len(new), len(gone))


def _open(root: Path) -> DeltaTable | None:
    from deltalake import DeltaTable

    try:
        return DeltaTable(str(root)) if DeltaTable.is_deltatable(str(root)) else None
    except Exception as error:
        raise UnavailableError(f"the Delta table in {root} cannot be opened: {_first_line(error)}") from error


def _check_turn(table: DeltaTable, root: Path, seq: int) -> None:
    # Delta itself lets a lower number pass.
    landed = table.transaction_version(APPLICATION)
    if landed is None:
        raise ConflictError(f"there is a Delta table in {root} that Headgate has not made", hint="Move it away.")
    if landed > seq:
        raise ConflictError(
            f"the Delta table in {root} shows journal entry {landed}, and the state store ends at {seq}",
            hint="It belongs to another state store: headgate mirror DATASET --rebuild makes it anew.",
        )


def _named(table: DeltaTable) -> dict[str, int]:
    """Return the files that a table names, with their sizes."""
    actions = pa.table(table.get_add_actions(flatten=False))
    return dict(zip(actions["path"].to_pylist(), actions["size_bytes"].to_pylist(), strict=True))


def _footers(root: Path, files: Mapping[str, MirroredFile]) -> dict[str, Footer]:
    found = {}
    for path, file in files.items():
        footer = footer_of(root / path)
        if footer.rows != file.rows:
            raise UnavailableError(
                f"{root / path} has {footer.rows} rows instead of {file.rows}",
                hint="`headgate verify` says what else is damaged.",
            )
        found[path] = footer
    return found


def _make(root: Path, want: Mapping[str, MirroredFile], seq: int) -> Reconciled:
    from deltalake.transaction import create_table_with_add_actions

    footers = _footers(root, want)
    columns = _columns(footers, {}, stays=True)
    crash_point("mirror.before_commit")
    try:
        create_table_with_add_actions(
            str(root),
            _delta_schema(columns),
            _adds(want, footers),
            mode="error",
            name=root.name,
            configuration=_PROPERTIES,
            commit_properties=_properties(seq),
        )
    except Exception as error:
        if not _has_landed(root, want, seq):
            raise UnavailableError(f"no Delta table can be made in {root}: {_first_line(error)}") from error
    crash_point("mirror.after_commit")
    return Reconciled(len(want), 0)


class _Change(NamedTuple):
    """What a commit changes: files that come and go, the footers of those that come, and the columns thereafter."""

    new: dict[str, MirroredFile]
    gone: dict[str, int]
    footers: dict[str, Footer]
    columns: dict[str, Any]


def _commit(table: DeltaTable, change: _Change, seq: int) -> None:
    from deltalake.transaction import RemoveAction

    at_ms = time.time_ns() // 1_000_000
    is_retyped = _is_retyped(_columns_of_table(table), change.columns)
    gone = {} if is_retyped else change.gone
    table.create_write_transaction(
        [
            *_adds(change.new, change.footers),
            *(RemoveAction(path, True, at_ms, size, {}) for path, size in sorted(gone.items())),
        ],
        # Overwriting removes every file by itself, and takes the new schema along in the same commit.
        mode="overwrite" if is_retyped else "append",
        schema=_delta_schema(change.columns) if is_retyped else table.schema(),
        partition_by=[],
        commit_properties=_properties(seq),
    )


def _adds(files: Mapping[str, MirroredFile], footers: Mapping[str, Footer]) -> list[AddAction]:
    from deltalake.transaction import AddAction

    return [
        AddAction(path, file.bytes, {}, file.created_ms, True, footers[path].statistics) for path, file in files.items()
    ]


def _properties(seq: int) -> Any:
    from deltalake import CommitProperties, Transaction

    return CommitProperties(app_transactions=[Transaction(APPLICATION, seq)])


def _has_landed(root: Path, want: Mapping[str, MirroredFile], seq: int) -> bool:
    table = _open(root)
    return table is not None and table.transaction_version(APPLICATION) == seq and _named(table).keys() == want.keys()


def _first_line(error: Exception) -> str:
    return next(iter(str(error).splitlines()), type(error).__name__)


def _columns(footers: Mapping[str, Footer], old: dict[str, Any], *, stays: bool) -> dict[str, Any]:
    """Return the columns that the table must have: those that it has, and those of files that come.

    Args:
        footers: Of the files that come.
        old: The columns that the table has, with their types.
        stays: Whether any file stays. If none does, columns may have other types than before.

    Raises:
        UsageError: Delta has no type for a column, or the column has two types.
    """
    columns = dict(old)
    for path, footer in footers.items():
        for name, kind in _delta_columns(footer.schema).items():
            before = columns.setdefault(name, kind)
            if before == kind:
                continue
            if old and not stays:
                return _columns(footers, {}, stays=True)
            raise UsageError(
                f"column {name} is {_shown(kind)} in {path} and {_shown(before)} in others",
                hint="Delta Lake has one type for a column: rebuild the partitions that have the other one.",
            )
    lowered: dict[str, str] = {}
    for name in columns:
        if (other := lowered.setdefault(name.casefold(), name)) != name:
            raise UsageError(
                f"columns {other} and {name} differ in upper and lower case only, which is one name to Delta Lake",
                hint="Rename one of them.",
            )
    return columns


def _shown(kind: Any) -> str:
    return kind if isinstance(kind, str) else json.dumps(kind)


def _is_retyped(old: dict[str, Any], columns: dict[str, Any]) -> bool:
    return any(columns.get(name) != kind for name, kind in old.items())


def _columns_of_table(table: DeltaTable) -> dict[str, Any]:
    return {field["name"]: field["type"] for field in json.loads(table.schema().to_json())["fields"]}


def _delta_schema(columns: dict[str, Any]) -> Schema:
    from deltalake import Schema

    return Schema.from_json(json.dumps({"type": "struct", "fields": [_field(name, columns[name]) for name in columns]}))


def _field(name: str, kind: Any) -> dict[str, Any]:
    return {"name": name, "type": kind, "nullable": True, "metadata": {}}


def _prepared(table: DeltaTable, root: Path, columns: dict[str, Any]) -> DeltaTable:
    """Return the table when it can take files with these columns: a column more, in which all is null, harms nobody."""
    from deltalake import DeltaTable, TableFeatures

    old = _columns_of_table(table)
    more = {name: kind for name, kind in columns.items() if name not in old}
    try:
        if not _is_retyped(old, columns):
            if not more:
                return table
            table.alter.add_columns(_delta_schema(more).fields)
        elif _WITHOUT_ZONE in json.dumps(columns) and _WITHOUT_ZONE not in json.dumps(old):
            # Adding columns does this by itself.
            table.alter.add_feature(TableFeatures.TimestampWithoutTimezone, allow_protocol_versions_increase=True)
        else:
            return table
        crash_point("mirror.after_columns")
        return DeltaTable(str(root))
    except Exception as error:
        raise UnavailableError(f"the Delta log in {root} cannot be written: {_first_line(error)}") from error


@lru_cache(maxsize=256)
def _delta_columns(schema: pa.Schema) -> dict[str, Any]:
    """Return the columns of a file with their types in Delta's words.

    Raises:
        UsageError: Delta has no such type, or no such name.
    """
    return {_name(field.name): _type(field.name, field.type) for field in schema}


def _name(name: str) -> str:
    if not _NOT_IN_NAMES.isdisjoint(name):
        raise UsageError(
            f"column {shown(name)}: Delta Lake has no names with spaces or any of ,;{{}}()= in them", hint="Rename it."
        )
    return name


def _type(column: str, kind: pa.DataType) -> Any:
    types = pa.types
    if types.is_dictionary(kind):
        return _type(column, kind.value_type)
    if types.is_list(kind) or types.is_large_list(kind):
        return {"type": "array", "elementType": _type(column, kind.value_type), "containsNull": True}
    if types.is_struct(kind):
        return {"type": "struct", "fields": [_field(_name(field.name), _type(column, field.type)) for field in kind]}
    if types.is_map(kind):
        key, value = _type(column, kind.key_type), _type(column, kind.item_type)
        return {"type": "map", "keyType": key, "valueType": value, "valueContainsNull": True}
    if types.is_decimal128(kind) and 0 <= kind.scale <= kind.precision <= _MOST_DIGITS:
        return f"decimal({kind.precision},{kind.scale})"
    if types.is_timestamp(kind) and kind.unit != "ns":
        return _WITHOUT_ZONE if kind.tz is None else "timestamp"
    if types.is_fixed_size_binary(kind):
        return "binary"
    if (found := _PLAIN.get(kind)) is not None:
        return found
    raise UsageError(f"column {column} is {kind}, for which Delta Lake has no type", hint=_remedy(kind))


_PLAIN = {
    pa.int8(): "byte",
    pa.int16(): "short",
    pa.int32(): "integer",
    pa.int64(): "long",
    pa.float32(): "float",
    pa.float64(): "double",
    pa.bool_(): "boolean",
    pa.string(): "string",
    pa.large_string(): "string",
    pa.binary(): "binary",
    pa.large_binary(): "binary",
    pa.date32(): "date",
}


def _remedy(kind: pa.DataType) -> str:
    types = pa.types
    if types.is_unsigned_integer(kind):
        return "Cast it to an integer with a sign, such as int64."
    if types.is_timestamp(kind):
        return "Cast it to microseconds."
    if types.is_null(kind):
        return "Give it a type, though nothing is in it."
    if types.is_fixed_size_list(kind):
        return "Cast it to a list of any length."
    return "Cast it to another type, such as a number or text."
