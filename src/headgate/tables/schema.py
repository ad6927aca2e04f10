"""Schemas of data files: which types are stored, and how they are written down."""

from __future__ import annotations

from functools import lru_cache

import pyarrow as pa

from headgate.errors import UsageError


def stored_schema(schema: pa.Schema) -> pa.Schema:
    """Return the schema under which a table is stored: string views as large strings, no metadata of the table.

    Few Arrow kernels take string views, and what made a table should not decide who can read it.

    Raises:
        UsageError: There is no column, or two of one name.
    """
    names = schema.names
    if not names:
        raise UsageError("the result has no columns", hint="Return a table with columns, or None.")
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise UsageError(f"the result has two columns named {twice!r}", hint="Rename one of them.")
    return pa.schema([field.with_type(_stored(field.type)) for field in schema])


def schema_text(schema: pa.Schema) -> tuple[tuple[str, str], ...]:
    """Return names and types as they are recorded: the same for tables that differ only in encoding."""
    return tuple((field.name, _text(field.type)) for field in schema)


@lru_cache(maxsize=1024)
def _stored(kind: pa.DataType) -> pa.DataType:
    types = pa.types
    if types.is_string_view(kind):
        return pa.large_string()
    if types.is_binary_view(kind):
        return pa.large_binary()
    if types.is_list(kind):
        return pa.list_(_stored_field(kind.value_field))
    if types.is_large_list(kind):
        return pa.large_list(_stored_field(kind.value_field))
    if types.is_fixed_size_list(kind):
        return pa.list_(_stored_field(kind.value_field), kind.list_size)
    if types.is_struct(kind):
        return pa.struct([_stored_field(field) for field in kind])
    if types.is_map(kind):
        return pa.map_(_stored_field(kind.key_field), _stored_field(kind.item_field), keys_sorted=kind.keys_sorted)
    if types.is_dictionary(kind):
        return pa.dictionary(kind.index_type, _stored(kind.value_type), ordered=kind.ordered)
    if types.is_run_end_encoded(kind):
        return _stored(kind.value_type)
    return kind


def _stored_field(field: pa.Field) -> pa.Field:
    return field.with_type(_stored(field.type))


@lru_cache(maxsize=1024)
def _text(kind: pa.DataType) -> str:
    types = pa.types
    if types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind):
        return "string"
    if types.is_binary(kind) or types.is_large_binary(kind) or types.is_binary_view(kind):
        return "binary"
    if types.is_list(kind) or types.is_large_list(kind):
        return f"list<{_text(kind.value_type)}>"
    if types.is_fixed_size_list(kind):
        return f"list<{_text(kind.value_type)}>[{kind.list_size}]"
    if types.is_struct(kind):
        return "struct<" + ", ".join(f"{field.name}: {_text(field.type)}" for field in kind) + ">"
    if types.is_map(kind):
        return f"map<{_text(kind.key_type)}, {_text(kind.item_type)}>"
    if types.is_dictionary(kind) or types.is_run_end_encoded(kind):
        return _text(kind.value_type)
    return str(kind)
