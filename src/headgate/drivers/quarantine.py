"""What people decide on results that gates have refused: released, they are published; dropped, they are garbage.

Each decision is one transaction of the state store, whether a coordinator is alive or not.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from headgate.crashpoints import crash_point
from headgate.drivers.control import refusals_journaled
from headgate.drivers.renewal import renewing
from headgate.drivers.takeover import collect
from headgate.errors import ConflictError, InternalError, UnavailableError, UsageError
from headgate.model.run import RunState
from headgate.planning.codec import plan_from_json
from headgate.store.quarantine import QuarantineState
from headgate.tables.layout import resolve
from headgate.tables.verify import verify_file

if TYPE_CHECKING:
    from collections.abc import Sequence
    from contextlib import AbstractContextManager
    from pathlib import Path

    from headgate.project.load import Project
    from headgate.store.quarantine import Quarantined
    from headgate.store.records import Candidate, Published
    from headgate.store.store import Store


@dataclass(frozen=True, slots=True)
class Released:
    """A result that was published after all.

    Args:
        attempt: Number of the attempt that made it.
        run: The run of that.
        dataset: Name.
        key: Partition key.
        verdict: NEW or UNCHANGED.
        is_staged: Whether nobody sees it before the run publishes together.
        run_state: Where the run stands now: it has succeeded if this was all that it lacked.
    """

    attempt: int
    run: str
    dataset: str
    key: str
    verdict: Published
    is_staged: bool
    run_state: RunState


def named_quarantined(store: Store, attempt: int) -> Quarantined:
    """Return what is or was quarantined of an attempt.

    Raises:
        UsageError: Nothing.
    """
    found = store.quarantined(attempt=attempt)
    if not found:
        raise UsageError(
            f"nothing of attempt {attempt} was ever quarantined",
            hint="`headgate quarantine list --all` shows what was.",
        )
    return found[0]


def release(
    store: Store, project: Project, attempts: Sequence[int], *, author: str, reason: str, now_ms: int
) -> list[Released]:
    """Publish what is quarantined of attempts: all of it or nothing.

    Args:
        store: The state store.
        project: The user's project: it says who may.
        attempts: Their numbers.
        author: Who decides so.
        reason: Why.
        now_ms: UTC milliseconds.

    Raises:
        UsageError: Nothing of an attempt was quarantined.
        ConflictError: This person may not, it was decided already, or it may not replace the head.
        UnavailableError: A file of it is gone or damaged.
    """
    found = [named_quarantined(store, attempt) for attempt in dict.fromkeys(attempts)]
    verdicts: dict[int, Published] = {}
    with _journaled(store, "release", found, author=author, reason=reason):
        for one in found:
            _check_releaser(store, project, one, author)
            if one.state is QuarantineState.HELD:
                _check_files(project.paths.data, one)
        with store.transaction() as tx:
            for one in found:
                candidate = one.candidate
                (renewed,) = renewing(tx, [candidate], {candidate.attempt}, project.paths.data)
                verdicts[candidate.attempt] = tx.release(
                    candidate.attempt, author=author, reason=reason, now_ms=now_ms, renews=renewed.renews
                )
            for run in dict.fromkeys(one.candidate.run for one in found):
                if _is_complete(store, run):
                    taken, done = store.taken(run), RunState.SUCCEEDED
                    tx.set_run_state(run, done, author=author, reason=reason, now_ms=now_ms, taken=taken)
    crash_point("quarantine.after_release")
    return [_released(store, one.candidate, verdicts[one.candidate.attempt]) for one in found]


def _is_complete(store: Store, run_id: str) -> bool:
    """Return whether a run has failed that has nothing left to build and to decide."""
    run = store.run(run_id)
    if run is None or run.state is not RunState.FAILED or run.publication.is_staged:
        return False
    planned = sum(len(part.indices) for part in plan_from_json(run.plan).datasets)
    return planned == sum(part.succeeded for part in store.made(run_id)) + sum(store.taken(run_id).values())


def _released(store: Store, candidate: Candidate, verdict: Published) -> Released:
    run = store.run(candidate.run)
    if run is None:
        raise InternalError(f"attempt {candidate.attempt} belongs to run {candidate.run}, which is not on record")
    place = (candidate.attempt, candidate.run, candidate.dataset, candidate.key)
    return Released(*place, verdict, run.publication.is_staged, run.state)


def drop(
    store: Store, data_root: Path, attempts: Sequence[int], *, author: str, reason: str, now_ms: int
) -> list[Quarantined]:
    """Give up what is quarantined of attempts, all of it or nothing, and remove their files.

    Args:
        store: The state store.
        data_root: The data folder.
        attempts: Their numbers.
        author: Who decides so.
        reason: Why.
        now_ms: UTC milliseconds.

    Returns:
        What was dropped.

    Raises:
        UsageError: Nothing of an attempt was quarantined.
        ConflictError: It was decided already.
    """
    found = [named_quarantined(store, attempt) for attempt in dict.fromkeys(attempts)]
    with _journaled(store, "drop", found, author=author, reason=reason), store.transaction() as tx:
        for one in found:
            tx.drop(one.candidate.attempt, author=author, reason=reason, now_ms=now_ms)
    crash_point("quarantine.after_drop")
    collect(store, data_root, only=frozenset(one.candidate.attempt for one in found))
    return found


def _journaled(
    store: Store, verb: str, found: Sequence[Quarantined], *, author: str, reason: str
) -> AbstractContextManager[None]:
    """Return what notes in the journal that a decision was refused."""
    runs = {one.candidate.run for one in found}
    run = runs.pop() if len(runs) == 1 else ""
    attempts: dict[str, object] = {"attempts": [one.candidate.attempt for one in found]}
    return refusals_journaled(store, f"quarantine {verb}", run=run, author=author, reason=reason, arguments=attempts)


def _check_releaser(store: Store, project: Project, found: Quarantined, author: str) -> None:
    """Refuse somebody who may not release, where the project says who may approve."""
    config, rails = project.config, project.guard_rails
    name = config.policies.approvers
    groups = {name: config.approvers[name]} if name else config.approvers
    if not groups:
        return
    candidate = found.candidate
    if not any(author in members for members in groups.values()):
        listed = " and ".join(f"{group} ({', '.join(members)})" for group, members in groups.items())
        raise ConflictError(f"{author} may not release attempt {candidate.attempt}: that is for {listed}")
    settings = [*rails.general.values(), *rails.datasets.get(candidate.dataset, {}).values()]
    run = store.run(candidate.run)
    others = dict.fromkeys(member for members in groups.values() for member in members if member != author)
    if run is not None and author == run.author and any(setting.persons > 1 for setting in settings):
        raise ConflictError(
            f"{author} is the author of run {run.id}, and where approvals take two persons a release does too",
            hint=f"{' or '.join(others)} may." if others else "",
        )


def _check_files(data_root: Path, found: Quarantined) -> None:
    candidate = found.candidate
    for file in candidate.files:
        for what in verify_file(resolve(data_root, file.path), file, ""):
            raise UnavailableError(
                f"what attempt {candidate.attempt} staged of {candidate.dataset}/{candidate.key} is damaged: {what}",
                hint=f"Drop it: headgate quarantine drop {candidate.attempt} --reason TEXT, and build it anew.",
            )
