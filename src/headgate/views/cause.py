"""What went wrong, as people name it: a file of a source, code, a version, a run; and the versions that it means."""

from __future__ import annotations

import bisect
from dataclasses import dataclass
from difflib import get_close_matches
from typing import TYPE_CHECKING

from headgate.drivers.naming import named_run
from headgate.errors import UsageError
from headgate.model.names import shown

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from headgate.model.version import Version
    from headgate.store.lineage import CodeInUse
    from headgate.store.store import Store

SHOWN_CODE = 12
"""How much of a fingerprint is shown."""
_SHOWN_NAMES = 5
_NEIGHBOURS = 500
"""A name is compared with so many before and behind it, in the order of names: difflib is slow."""
ALWAYS = (0, 1 << 62)


@dataclass(frozen=True, slots=True)
class FileVersion:
    """A version of a source's file that went wrong."""

    version: int
    dataset: str
    key: str
    path: str
    hash: str
    recorded_ms: int


@dataclass(frozen=True, slots=True)
class Cause:
    """What went wrong.

    Args:
        text: It, as people name it.
        versions: Identities of the versions that it means.
        codes: Fingerprints of code that must not make anything again.
        files: What it means, if that is files of a source.
    """

    text: str
    versions: tuple[int, ...]
    codes: tuple[str, ...] = ()
    files: tuple[FileVersion, ...] = ()


def bad_file(
    store: Store, root: Path, path: str, *, hash_prefix: str | None = None, times: tuple[int, int] = ALWAYS
) -> Cause:
    """Return what was recorded of a file of a source.

    Args:
        store: The state store.
        root: Folder of the project.
        path: As the project has it, or the end of that; also absolute, inside the project.
        hash_prefix: The beginning of its hash, if only one of its contents is meant.
        times: When it was recorded: ``[since, until)``, UTC milliseconds.

    Raises:
        UsageError: No file, or several, or no version of it is meant.
    """
    name = path.removeprefix(f"{root.resolve()}/").removeprefix("./")
    found = [
        FileVersion(one.id, one.dataset, one.key, file.path, file.hash, one.created_ms)
        for one in (store.source_versions(name) if name else [])
        for file in one.files
        if file.path == name or file.path.endswith(f"/{name}")
    ]
    exact = [one for one in found if one.path == name]
    found = exact or found
    paths = sorted({one.path for one in found})
    if not paths:
        raise UsageError(
            f"no source has ever had a file {shown(path)}", hint=_nearest(name.rpartition("/")[2], store.source_paths())
        )
    if len(paths) > 1:
        raise UsageError(
            f"{len(paths):,} files are called {shown(path)}: {_listed(paths)}", hint="Give more of the path."
        )
    chosen = found
    if hash_prefix is not None:
        chosen = [one for one in found if hash_prefix and _fits(one.hash, hash_prefix)]
        hashes = dict.fromkeys(one.hash for one in chosen)
        if len(hashes) != 1:
            what = "several contents" if hashes else "no content"
            there = ", ".join(dict.fromkeys(one.hash for one in found))
            raise UsageError(
                f"{what} of {paths[0]} has a hash that begins with {shown(hash_prefix)}", hint=f"It had: {there}."
            )
    chosen = [one for one in chosen if times[0] <= one.recorded_ms < times[1]]
    if not chosen:
        raise UsageError(f"no version of {paths[0]} was recorded in that time", hint="Leave out --since and --until.")
    text = paths[0] if len(chosen) == len(found) else f"{paths[0]} with {' or '.join(_hashes(chosen))}"
    return Cause(text, tuple(one.version for one in chosen), files=tuple(chosen))


def bad_code(store: Store, text: str, *, times: tuple[int, int] = ALWAYS) -> Cause:
    """Return what was made by code.

    Args:
        store: The state store.
        text: The beginning of its fingerprint, or the version that its author declared.
        times: When it made something: ``[since, until)``, UTC milliseconds.

    Raises:
        UsageError: No code, or code of several fingerprints, is meant, or it made nothing.
    """
    found = store.codes_in_use(text) if text else []
    declared = [one for one in found if one.declared_version == text]
    found = declared or found
    codes = dict.fromkeys(one.code for one in found)
    if not codes:
        there = store.codes_in_use("")[:_SHOWN_NAMES]
        hint = f"The newest are {_codes(there)}." if there else "Nothing was ever made here."
        raise UsageError(f"nothing was made by code {shown(text)}", hint=hint)
    if len(codes) > 1:
        kind = "declared version" if declared else "beginning"
        raise UsageError(
            f"code of several fingerprints has the {kind} {shown(text)}: {_codes(found)}",
            hint="Give more of the fingerprint: `headgate history DATASET --json` has all of it.",
        )
    (code,) = codes
    names = " and ".join(dict.fromkeys(one.dataset for one in found))
    versions = store.resting_on_code(code, since_ms=times[0], until_ms=times[1])
    return Cause(f"code {code[:SHOWN_CODE]} of {names}", tuple(versions), codes=(code,))


def bad_version(store: Store, number: int) -> Cause:
    """Return a version, whatever it is of.

    Raises:
        UsageError: There is none.
    """
    found = store.version(number)
    if found is None:
        raise UsageError(
            f"there is no version {number}", hint="`headgate history DATASET KEY` shows those of a partition."
        )
    return Cause(f"version {number} of {found.dataset}/{found.key}", (found.identity,), files=_files(store, found))


def bad_run(store: Store, text: str, *, times: tuple[int, int] = ALWAYS) -> Cause:
    """Return what a run has made, or found again.

    Args:
        store: The state store.
        text: Its id, or the beginning of it; or ``latest``.
        times: When it made something: ``[since, until)``, UTC milliseconds.

    Raises:
        UsageError: There is no such run, or several.
    """
    run = named_run(store, text).id
    return Cause(f"run {run}", tuple(store.resting_on_run(run, since_ms=times[0], until_ms=times[1])))


def _files(store: Store, version: Version) -> tuple[FileVersion, ...]:
    checkpoint = next(iter(store.checkpoints(version.dataset, version.key, limit=1)), None)
    if checkpoint is None or checkpoint.run:
        return ()
    return tuple(
        FileVersion(version.id, version.dataset, version.key, file.path, file.hash, version.created_ms)
        for file in version.files
    )


def _fits(found: str, prefix: str) -> bool:
    return found.startswith(prefix) or found.partition(":")[2].startswith(prefix)


def _hashes(files: Sequence[FileVersion]) -> list[str]:
    return list(dict.fromkeys(one.hash for one in files))


def _codes(found: Sequence[CodeInUse]) -> str:
    texts = []
    for one in found:
        declared = f" (version {one.declared_version})" if one.declared_version else ""
        texts.append(f"{one.code[:SHOWN_CODE]} of {one.dataset}{declared}")
    return _listed(texts)


def _listed(texts: Sequence[str]) -> str:
    more = f" and {len(texts) - _SHOWN_NAMES:,} more" if len(texts) > _SHOWN_NAMES else ""
    return ", ".join(texts[:_SHOWN_NAMES]) + more


def _nearest(name: str, paths: Iterable[str]) -> str:
    by_name = sorted((path.rpartition("/")[2], path) for path in paths)
    at = bisect.bisect(by_name, (name,))
    near = dict(by_name[max(at - _NEIGHBOURS, 0) : at + _NEIGHBOURS])
    close = get_close_matches(name, near, n=_SHOWN_NAMES, cutoff=0.5)
    if not near:
        return "No file of a source has been recorded yet: a backfill does that."
    return (
        f"Did you mean {' or '.join(near[one] for one in close)}?" if close else "`headgate graph` shows the sources."
    )
