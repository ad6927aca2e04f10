"""The guard rails of a project: what headgate.toml says of them, and where."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

from headgate.errors import UsageError
from headgate.model.guard_rail import GuardRails, Outcome, Rule, Setting
from headgate.planning.wording import moment_text
from headgate.project.places import FILE_NAME
from headgate.project.policies import known_name

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from headgate.model.dataset import Dataset, Source
    from headgate.project.config import Config
    from headgate.project.places import Document
    from headgate.project.rule_sections import PoliciesSection, RuleSection

_LIMITS = {
    Rule.MAX_PARTITIONS: "limit",
    Rule.MAX_BYTES: "limit",
    Rule.MAX_TIME: "limit",
    Rule.MAX_COST: "limit",
    Rule.RETENTION: "keep",
    Rule.FRESH_DEADLINE: "within",
    Rule.REQUIRE_REASON: "min_length",
    Rule.TICKET: "pattern",
}
"""The key without which a rule says nothing."""
_BY_DECLARATION = {Rule.SNAPSHOT_ONLY: "snapshot_only=True", Rule.NON_IDEMPOTENT: "idempotent=False"}

_Key = tuple[str, ...]
_Layers = list[tuple[_Key, "PoliciesSection"]]
"""Tables of policies with their keys, the most general first."""


@dataclass(frozen=True, slots=True)
class _Reader:
    config: Config
    document: Document

    def layers(self, kind: str, name: str) -> _Layers:
        """Return the tables that hold for a dataset or a source: a later template goes before an earlier one."""
        found = [layer for layer in self.templates() if self._matches(layer[0][1], name)]
        own = getattr(self.config, kind).get(name)
        return [*self.general(), *found, *([((kind, name, "policies"), own.policies)] if own else [])]

    def general(self) -> _Layers:
        """Return the table of the project."""
        return [(("policies",), self.config.policies)]

    def templates(self) -> _Layers:
        """Return the tables of all templates, in the order in which they are written."""
        return [(("templates", name, "policies"), found.policies) for name, found in self.config.templates.items()]

    def _matches(self, template: str, name: str) -> bool:
        return any(fnmatchcase(name, pattern) for pattern in self.config.templates[template].match)

    def settings(self, layers: _Layers) -> Iterator[tuple[_Key, Setting]]:
        """Yield each rule as some tables set it, and the table of the most specific one that speaks of it."""
        for rule in Rule:
            tables = [((*key, rule), table) for key, layer in layers if (table := _table(layer, rule)) is not None]
            if tables:
                yield tables[-1][0], self._setting(rule, tables)

    def _setting(self, rule: Rule, tables: list[tuple[_Key, RuleSection]]) -> Setting:
        values: dict[str, Any] = {}
        places: dict[str, _Key] = {}
        for key, table in tables:
            for name in table.model_fields_set:
                values[name] = getattr(table, name)
                places[name] = (*key, type(table).model_fields[name].alias or name)
        last = tables[-1][0]
        limit = _LIMITS.get(rule)
        if limit is not None and limit not in values:
            raise self.document.refuse((*last, limit), "is missing")
        if rule is Rule.MAX_COST and self.config.rates.is_free:
            raise self.document.refuse(
                places["limit"],
                "says nothing: no cost is known without rates",
                hint="Declare them, such as [rates] slot_hour = 0.12, or leave max_cost out.",
            )
        outcome = values.get("verdict", rule.outcome)
        group = values.get("approvers") or self.config.policies.approvers or ""
        if outcome is Outcome.APPROVAL and not group:
            raise self.document.refuse(
                (*last, "approvers"),
                f"is missing: {rule} asks for approval",
                hint='Name a group of [approvers], or set verdict = "deny".',
            )
        if values.get("persons", 1) > 1:
            self._check_persons(places["persons"], group)
        start, end = values.get("start"), values.get("end")
        if start is not None and end is not None and end <= start:
            raise self.document.refuse(
                places["end"], f"cannot be: {moment_text(end)} is not after {moment_text(start)}"
            )
        at = places.get(limit or "end") or places.get("start") or last
        return Setting(
            rule,
            outcome,
            None if rule is Rule.TICKET or limit is None else values[limit],
            "" if limit is None else _written(self.document, places[limit]),
            values.get("pattern", ""),
            start,
            end,
            group,
            tuple(self.config.approvers.get(group, ())),
            values.get("persons", 1),
            values.get("because", ""),
            f"{FILE_NAME}:{self.document.line(at)}",
        )

    def _check_persons(self, key: _Key, group: str) -> None:
        """Refuse that two persons are required where there are not two, since no author approves then."""
        members = self.config.approvers.get(group, ())
        if not group:
            raise self.document.refuse(
                key, "says nothing: nobody may approve", hint="Name a group of [approvers]: approvers = ..."
            )
        if len(members) == 1:
            raise self.document.refuse(
                key,
                f"cannot be: group {group} is {members[0]} alone, whose own plans nobody could approve",
                hint=f"Name another person in [approvers] {group}, or leave out persons.",
            )


def resolve_guard_rails(
    config: Config, datasets: Mapping[str, Dataset], sources: Mapping[str, Source], document: Document
) -> GuardRails:
    """Return the guard rails of a project.

    A rule is put together key by key: the table of the dataset or source counts before that of a template, and that
    before the general one.

    Args:
        config: What its headgate.toml says.
        datasets: Its datasets; `check_policies` says whether each that has a table exists.
        sources: Its sources.
        document: Its headgate.toml, for the lines.

    Raises:
        UsageError: A rule cannot be as it is set, or names a source or a group that there is not.
    """
    reader = _Reader(config, document)
    _check_groups(reader)
    for name in config.sources:
        _check_known(document, ("sources", name), "source", name, sources)
    _check_kinds(reader)
    for layer in reader.templates():
        # Also those that match nothing yet.
        list(reader.settings([*reader.general(), layer]))
    own = {name: _of_dataset(reader, dataset) for name, dataset in datasets.items()}
    return GuardRails(
        {setting.rule: setting for _, setting in reader.settings(reader.general())},
        {name: settings for name, settings in own.items() if settings},
        {name: setting for name, source in sources.items() if (setting := _of_source(reader, source)) is not None},
        _fingerprint(document.values),
    )


def _of_dataset(reader: _Reader, dataset: Dataset) -> dict[Rule, Setting]:
    found: dict[Rule, Setting] = {}
    for key, setting in reader.settings(reader.layers("datasets", dataset.name)):
        if key[0] == "datasets":
            _check_own(reader, key, setting, dataset)
        if key[0] != "policies" and setting.rule is not Rule.RETENTION:
            found[setting.rule] = setting
    return found


def _check_own(reader: _Reader, key: _Key, setting: Setting, dataset: Dataset) -> None:
    declared = _BY_DECLARATION.get(setting.rule)
    if declared and not (dataset.snapshot_only if setting.rule is Rule.SNAPSHOT_ONLY else not dataset.idempotent):
        raise reader.document.refuse(
            key,
            f"says nothing: {dataset.name} is not declared with {declared}",
            hint=f"Write @headgate.dataset({declared}) at {dataset.declared_at}.",
        )
    if dataset.partitioning.time is None and (setting.start or setting.end or setting.rule is Rule.FRESH_DEADLINE):
        raise reader.document.refuse(key, f"cannot be: {dataset.name} has no windows of time")


def _of_source(reader: _Reader, source: Source) -> Setting | None:
    retention: Setting | None = None
    for key, setting in reader.settings(reader.layers("sources", source.name)):
        if setting.rule is Rule.RETENTION:
            retention = setting
            if key[0] == "sources" and source.partitioning.time is None:
                raise reader.document.refuse(key, f"cannot be: {source.name} has no windows of time")
    return retention


def _check_groups(reader: _Reader) -> None:
    config, document = reader.config, reader.document
    for group, members in config.approvers.items():
        if twice := next((name for name in members if members.count(name) > 1), None):
            raise document.refuse(("approvers", group), f"names {twice} twice")
    if config.policies.approvers is not None:
        _check_known(document, ("policies", "approvers"), "group", config.policies.approvers, config.approvers)
    own = [
        ((kind, name, "policies"), table.policies)
        for kind in ("datasets", "sources")
        for name, table in getattr(config, kind).items()
    ]
    for key, layer in [*reader.general(), *reader.templates(), *own]:
        for rule in Rule:
            table = _table(layer, rule)
            if table is not None and table.approvers is not None:
                _check_known(document, (*key, rule, "approvers"), "group", table.approvers, config.approvers)


def _check_kinds(reader: _Reader) -> None:
    """Refuse rules of datasets that are set for a source, and the other way round, before what else they lack."""
    for name, source in reader.config.sources.items():
        for rule in Rule:
            if rule is not Rule.RETENTION and _table(source.policies, rule) is not None:
                raise reader.document.refuse(
                    ("sources", name, "policies", rule),
                    "cannot be: a source is not built",
                    hint=f"Write [datasets.NAME.policies.{rule}].",
                )
    for name, dataset in reader.config.datasets.items():
        if _table(dataset.policies, Rule.RETENTION) is not None:
            raise reader.document.refuse(
                ("datasets", name, "policies", Rule.RETENTION),
                "cannot be: a source keeps data, not a dataset",
                hint="Write [sources.NAME.policies.retention].",
            )


def _check_known(document: Document, key: _Key, what: str, name: str, known: Iterable[str]) -> None:
    try:
        known_name(what, name, known)
    except UsageError as error:
        hint = error.hint or (f'Declare it: [approvers] {name} = ["ann"].' if what == "group" else "")
        raise document.refuse(key, f"cannot be: {error.message}", hint=hint) from None


def _table(layer: PoliciesSection, rule: Rule) -> RuleSection | None:
    found: RuleSection | None = getattr(layer, rule)
    return found


def _written(document: Document, key: _Key) -> str:
    """Return a value of headgate.toml as somebody wrote it."""
    value: Any = document.values
    for part in key:
        value = value[part]
    return value if isinstance(value, str) else f"{value:,}"


def _fingerprint(values: Mapping[str, Any]) -> str:
    said: dict[str, Any] = {
        key: values[key] for key in ("approvers", "policies", "rates", "templates") if key in values
    }
    for kind in ("datasets", "sources"):
        said[kind] = {name: table["policies"] for name, table in values.get(kind, {}).items() if "policies" in table}
    return hashlib.sha256(json.dumps(said, sort_keys=True, default=str).encode()).hexdigest()
