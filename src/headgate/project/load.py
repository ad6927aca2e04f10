"""Loads a project: its configuration, its modules, and the graph that they declare."""

from __future__ import annotations

import dataclasses
import sys
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from headgate.errors import UsageError
from headgate.model.dataset import Dataset
from headgate.planning.graph import check_graph
from headgate.project.config import Config, read_config
from headgate.project.declare import Declaration, DeclaredSource, take_declarations
from headgate.project.fingerprint import CodeReader
from headgate.project.functions import kind_of
from headgate.project.guard_rails import resolve_guard_rails
from headgate.project.modules import import_modules, is_project_file, place
from headgate.project.places import paths, read_document
from headgate.project.policies import Policies, resolve_policies
from headgate.project.policy_check import check_policies

if TYPE_CHECKING:
    from pathlib import Path

    from headgate.model.dataset import Source
    from headgate.model.guard_rail import GuardRails
    from headgate.project.places import Paths


@dataclass(frozen=True, slots=True)
class Project:
    """A project, loaded and checked.

    Args:
        root: Its folder, absolute.
        paths: Where its state and its data lie.
        config: Its headgate.toml.
        datasets: By name, in the order of declaration.
        sources: Likewise.
        policies: What may run when, how much at a time, and what follows a failure.
        guard_rails: What every plan is held to.
    """

    root: Path
    paths: Paths
    config: Config
    datasets: dict[str, Dataset]
    sources: dict[str, Source]
    policies: Policies
    guard_rails: GuardRails


def load(root: Path) -> Project:
    """Load the project in a folder from its files as they are now.

    The folder stays first on the import path until another project is loaded.

    Args:
        root: The folder with headgate.toml.

    Raises:
        UsageError: Something in it is wrong; the message begins with file and line where there is one.
    """
    root = root.resolve()
    config = read_config(root)
    take_declarations()
    import_modules(root, config.project.modules)
    declared = [found for found in take_declarations() if is_project_file(root, found.file)]
    _check_names(root, declared)
    reader = CodeReader(root)
    datasets: dict[str, Dataset] = {}
    sources: dict[str, Source] = {}
    for found in declared:
        if isinstance(found, DeclaredSource):
            declared_at = place(root, found.file, found.line)
            sources[found.source.name] = dataclasses.replace(found.source, declared_at=declared_at)
        else:
            datasets[found.name] = _dataset(root, found, reader)
    if not datasets:
        modules = ", ".join(config.project.modules)
        raise UsageError(
            f"the project in {root} has no dataset: its modules ({modules}) declare none",
            hint="Put @headgate.dataset on a function, or list its module under [project] modules in headgate.toml.",
        )
    check_graph(datasets, sources, time.time_ns() // 1_000_000)
    policies = resolve_policies(config)
    document = read_document(root)
    check_policies(policies, datasets, document)
    guard_rails = resolve_guard_rails(config, datasets, sources, document)
    return Project(root, paths(root), config, datasets, sources, policies, guard_rails)


def _check_names(root: Path, declared: list[Declaration | DeclaredSource]) -> None:
    places: dict[str, str] = {}
    for found in declared:
        name = found.source.name if isinstance(found, DeclaredSource) else found.name
        where = place(root, found.file, found.line)
        if name in places:
            raise UsageError(
                f"{where}: the name {name} is taken: it was declared at {places[name]}",
                hint="Datasets and sources share one set of names: rename one of them.",
            )
        places[name] = where


def _dataset(root: Path, declared: Declaration, reader: CodeReader) -> Dataset:
    where = place(root, declared.file, declared.line)
    module, function = declared.function.__module__, declared.function.__qualname__
    bound = getattr(sys.modules.get(module), function, None)
    if getattr(bound, "__headgate__", None) is not declared:
        raise UsageError(
            f"{where}: {function} is something else by the end of module {module}",
            hint="Workers find the function of a dataset by its name: do not use the name again.",
        )
    for parameter in declared.inputs:
        try:
            kind_of(declared.function, parameter)
        except UsageError as error:
            raise UsageError(f"{where}: dataset {declared.name}: {error.message}", hint=error.hint) from error
    doc = (declared.function.__doc__ or "").strip()
    return Dataset(
        name=declared.name,
        partitioning=declared.partitioning,
        inputs=declared.inputs,
        entry=f"{module}:{function}",
        code=reader.fingerprint(module, function, declared.version),
        version=declared.version,
        is_async=declared.is_async,
        timeout_ms=declared.timeout_ms,
        description=doc.partition("\n")[0],
        declared_at=where,
        pools=declared.pools,
        concurrency=declared.concurrency,
        failure_modes=declared.failure_modes,
        batches_ms=declared.batches_ms,
        batch=declared.batch,
        batch_bytes=declared.batch_bytes,
        partition_column=declared.partition_column,
        snapshot_only=declared.snapshot_only,
        idempotent=declared.idempotent,
        gates=declared.gates,
        allow_empty=declared.allow_empty,
        schema_policy=declared.schema_policy,
        mirror=declared.mirror,
    )
