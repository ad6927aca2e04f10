"""What is different between two schemas, for people and for the rule that says what may change."""

from __future__ import annotations

from difflib import SequenceMatcher
from enum import StrEnum
from typing import NamedTuple

Schema = tuple[tuple[str, str], ...]

ALIKE = 0.6
"""From which likeness of two names on one looks like the other renamed (`difflib`'s ratio)."""


class SchemaPolicy(StrEnum):
    """How the schema of a dataset may change from version to version.

    `any`: as it likes; a change that is not additive is recorded as a warning. `additive`: columns may be added.
    `fixed`: not at all.
    """

    ANY = "any"
    ADDITIVE = "additive"
    FIXED = "fixed"


class Renamed(NamedTuple):
    """A column that went and one of the same type that came, which looks like it."""

    before: str
    after: str
    kind: str


class Retyped(NamedTuple):
    """A column that has another type."""

    name: str
    before: str
    after: str


class SchemaDiff(NamedTuple):
    """What is different.

    Args:
        added: Columns that came, with their types.
        removed: Columns that went, with their types.
        renamed: Columns that went and came under another name, as it looks; not among those above.
        retyped: Columns that have another type.
        is_reordered: Whether the columns that stayed stand in another order.
    """

    added: tuple[tuple[str, str], ...]
    removed: tuple[tuple[str, str], ...]
    renamed: tuple[Renamed, ...]
    retyped: tuple[Retyped, ...]
    is_reordered: bool

    def __bool__(self) -> bool:
        """Return whether anything is different, but for the order."""
        return bool(self.added or self.removed or self.renamed or self.retyped)

    @property
    def is_additive(self) -> bool:
        """Return whether columns were added at most."""
        return not (self.removed or self.renamed or self.retyped)

    def sentences(self) -> list[str]:
        """Return it in words, such as ``column delay: int32 is int64 now``."""
        return [
            *(f"column {one.before} looks renamed to {one.after} ({one.kind})" for one in self.renamed),
            *(f"column {name} is gone ({kind})" for name, kind in self.removed),
            *(f"column {name} is new ({kind})" for name, kind in self.added),
            *(f"column {one.name}: {one.before} is {one.after} now" for one in self.retyped),
        ]


def schema_diff(before: Schema, after: Schema) -> SchemaDiff:
    """Return what is different between two schemas.

    A column that went and one that came are taken for one that was renamed if they have the same type, and stand in
    the same place or have names that are alike. The likest names find each other first.
    """
    old, new = dict(before), dict(after)
    added = {name: kind for name, kind in after if name not in old}
    removed = {name: kind for name, kind in before if name not in new}
    renamed = []
    for _, gone, come in _pairs(before, after, removed, added):
        if gone in removed and come in added:
            renamed.append(Renamed(gone, come, removed.pop(gone)))
            del added[come]
    stayed = [name for name, _ in before if name in new]
    return SchemaDiff(
        tuple(added.items()),
        tuple(removed.items()),
        tuple(renamed),
        tuple(Retyped(name, old[name], new[name]) for name in stayed if old[name] != new[name]),
        stayed != [name for name, _ in after if name in old],
    )


def _pairs(
    before: Schema, after: Schema, removed: dict[str, str], added: dict[str, str]
) -> list[tuple[float, str, str]]:
    """Return what may have become what, the likest first."""
    places = {name: at for at, (name, _) in enumerate(before)}
    found = []
    for at, (come, kind) in enumerate(after):
        if come not in added:
            continue
        for gone, gone_kind in removed.items():
            likeness = SequenceMatcher(None, gone.casefold(), come.casefold()).ratio()
            if gone_kind == kind and (likeness >= ALIKE or places[gone] == at):
                found.append((-likeness, gone, come))
    return sorted(found)


def is_allowed(policy: SchemaPolicy, difference: SchemaDiff) -> bool:
    """Return whether a rule allows a change."""
    match policy:
        case SchemaPolicy.ANY:
            return True
        case SchemaPolicy.ADDITIVE:
            return difference.is_additive
        case SchemaPolicy.FIXED:
            return not difference
