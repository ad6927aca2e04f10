"""One project, opened: what the command line (and later the HTTP API) asks for, in one place."""

from __future__ import annotations

import getpass
import os
import signal
import time
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import replace
from typing import TYPE_CHECKING

from headgate.drivers.clock import now_ms
from headgate.drivers.control import lift_pause, refusals_journaled
from headgate.drivers.follow import LOOK_EVERY_S, follow
from headgate.drivers.handover import HELD, Intake, hand_over
from headgate.drivers.live import Coordinator
from headgate.drivers.naming import named_run
from headgate.drivers.plans import decide, judge_rest, keep, keep_rest, named_plan, redeem
from headgate.drivers.proposal import propose
from headgate.drivers.resume import check_state, restore
from headgate.drivers.submission import new_run
from headgate.drivers.takeover import collect, take_over
from headgate.drivers.world import look
from headgate.errors import ConflictError, HeadgateError, InternalError, UnavailableError, UsageError
from headgate.executors.local import LocalExecutor
from headgate.model.guard_rail import Rule
from headgate.model.policy import OnOverlap
from headgate.model.run import Publication, RunState
from headgate.planning.binding import basis, changes
from headgate.planning.planner import make_plan
from headgate.project.load import load
from headgate.store.sqlite import open_store

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from contextlib import AbstractContextManager
    from pathlib import Path
    from types import FrameType

    from headgate.drivers.plans import Moved, Redeemed
    from headgate.drivers.progress import RunSummary, Watcher
    from headgate.drivers.proposal import Proposal
    from headgate.drivers.resume import Recorded
    from headgate.drivers.world import World
    from headgate.model.plan import Plan, Request, StoredPlan
    from headgate.model.run import Run
    from headgate.model.verdict import Override
    from headgate.project.load import Project
    from headgate.store.store import Store


TAKE_OVER_TRIES = 20


def author() -> str:
    """Return who asks, for the journal: HEADGATE_AUTHOR, or the name of the user."""
    try:
        return os.environ.get("HEADGATE_AUTHOR") or getpass.getuser()
    except (KeyError, OSError):
        return f"uid {os.getuid()}"


class Session:
    """A loaded project and its state store.

    Args:
        root: Folder of the project.
    """

    def __init__(self, root: Path) -> None:
        self.project: Project = load(root)
        self.store: Store = self._open(create=False)

    def _open(self, *, create: bool) -> Store:
        paths = self.project.paths
        return open_store(paths.state, data_root=paths.data, create=create)

    def close(self) -> None:
        """Close the state store."""
        self.store.close()

    def _writable(self) -> Store:
        """Return the state store, which is made if it is not there yet."""
        self.store.close()
        self.store = self._open(create=True)
        return self.store

    def plan(self, request: Request) -> tuple[World, Plan]:
        """Return how things stand, and what a request leads to. Writes nothing."""
        world = look(self.project, self.store, now_ms())
        return world, make_plan(world.snapshot, request)

    def propose(
        self, request: Request, *, reason: str, service_class: str, overrides: Sequence[Override] = ()
    ) -> Proposal:
        """Return what a request leads to, with its forecast and what the guard rails say of it. Writes nothing.

        Raises:
            UsageError: The request, the class or an override cannot be.
        """
        self._check_class(service_class)
        if any(override.rule == Rule.HELD for override in overrides):
            request = replace(request, held=True)
        world, plan = self.plan(request)
        return propose(
            self.project,
            self.store,
            world,
            plan,
            author=author(),
            reason=reason,
            service_class=service_class,
            overrides=overrides,
        )

    def keep(self, proposal: Proposal) -> StoredPlan:
        """Keep a plan as it is shown, so that exactly this can be approved and run."""
        return keep(self._writable(), self.project, proposal, now_ms())

    def stored_plan(self, text: str) -> StoredPlan:
        """Return the stored plan that a text names.

        Raises:
            UsageError: There is none, or there are several.
        """
        return named_plan(self.store, self.project, text)

    def redeem(self, stored: StoredPlan) -> Redeemed | Moved:
        """Return a stored plan to be run exactly as it was shown, or in what the world has moved since.

        Raises:
            ConflictError: It was run already, rejected, has expired, or lacks an approval.
        """
        return redeem(self.store, self.project, stored, now_ms())

    def decide(self, text: str, *, is_approval: bool, reason: str) -> StoredPlan:
        """Approve or reject the plan that a text names, and return it.

        Raises:
            UsageError: There is no such plan.
            ConflictError: There is nothing to decide, or this person may not.
        """
        return decide(
            self._writable(),
            self.project,
            text,
            is_approval=is_approval,
            author=author(),
            reason=reason,
            now_ms=now_ms(),
        )

    def backfill(
        self,
        world: World,
        plan: Plan,
        *,
        reason: str,
        service_class: str = "backfill",
        overlap: OnOverlap = OnOverlap.REFUSE,
        publication: Publication = Publication.EACH,
        is_exact: bool = False,
        watcher: Watcher | None = None,
    ) -> RunSummary:
        """Run a plan to its end: in this process, or in the coordinator that is alive.

        Args:
            world: What the plan was made from.
            plan: The plan, as it was shown.
            reason: Why.
            service_class: Class of the run.
            overlap: What becomes of partitions that a run of no lower class is building.
            publication: When readers see what it makes.
            is_exact: Whether just this plan may be run, even if less is left to do by now.
            watcher: Who is told how it goes.

        Raises:
            UsageError: There is no such class.
            ConflictError: The world has moved since the plan was made, or a run that is under way builds some of it.
        """
        self._check_class(service_class)
        store = self._writable()
        if store.leader() is not None:
            world, plan = self._confirmed(world, plan, is_exact=is_exact)
            run = new_run(
                plan,
                RunState.QUEUED,
                reason=reason,
                author=author(),
                service_class=service_class,
                overlap=overlap,
                publication=publication,
            )
            request = hand_over(store, self.project, run, is_new=True, retry=False, reason=reason, author=author())
            return self._follow(run.id, request, watcher)
        with store.lead():
            take_over(store, self.project.paths.data, now_ms(), author=author())
            world, plan = self._confirmed(world, plan, is_exact=is_exact)

            def begin(coordinator: Coordinator) -> str:
                return coordinator.submit(
                    world,
                    plan,
                    reason=reason,
                    service_class=service_class,
                    overlap=overlap,
                    publication=publication,
                )

            return self._run(begin, watcher)

    def go_on(
        self, run_id: str, *, retry: bool, reason: str, watcher: Watcher | None = None, lifts_pause: bool = False
    ) -> RunSummary:
        """Resume a run, or retry what failed or was blocked in it: here, or in the coordinator that is alive.

        One that is to be resumed and under way already is followed. With `lifts_pause` a run that is taken up starts
        although it was paused before.

        Raises:
            UsageError: There is no such run.
            ConflictError: It is not in a state for that, definitions changed, or a guard rail denies what is left.
        """
        store = self.store
        run = named_run(store, run_id)
        if store.leader() is not None:
            if run.state in HELD and not retry:
                return self._follow(run.id, None, watcher)
            self._check_state(run, retry=retry, reason=reason)
            self._restored(run, retry=retry, reason=reason)
            request = hand_over(
                store,
                self.project,
                run,
                is_new=False,
                retry=retry,
                reason=reason,
                author=author(),
                lifts_pause=lifts_pause,
            )
            return self._follow(run.id, request, watcher)
        with store.lead():
            take_over(store, self.project.paths.data, now_ms(), author=author())
            run = named_run(store, run_id)
            self._check_state(run, retry=retry, reason=reason)
            world, recorded = self._restored(run, retry=retry, reason=reason)

            def begin(coordinator: Coordinator) -> str:
                if lifts_pause:
                    with store.transaction() as tx:
                        lift_pause(store, tx, run.id, author=author(), reason=reason)
                coordinator.go_on(run, world, recorded, retry=retry, reason=reason)
                return run.id

            return self._run(begin, watcher)

    def _check_state(self, run: Run, *, retry: bool, reason: str) -> None:
        verb = "retry" if retry else "resume"
        with refusals_journaled(self.store, verb, run=run.id, author=author(), reason=reason):
            check_state(run, retry=retry)

    def _restored(self, run: Run, *, retry: bool, reason: str) -> tuple[World, Recorded]:
        """Return how things stand and what is recorded of a run, if the guard rails let it go on."""
        world = look(self.project, self.store, now_ms())
        recorded = restore(self.project, self.store, world, run, retry=retry)
        verb = "retry" if retry else "resume"
        with refusals_journaled(self.store, verb, run=run.id, author=author(), reason=reason):
            judge_rest(self.project, self.store, world, run, recorded)
        return world, recorded

    def _check_class(self, name: str) -> None:
        found = self.project.policies.service_class(name)
        if found.ceiling == 0 or found.slots == 0:
            raise UsageError(
                f"a run of class {name} could never start anything: its ceiling is 0",
                hint=f"Give [classes.{name}] a ceiling above 0; windows may still close it for a time.",
            )

    def _follow(self, run_id: str, request: int | None, watcher: Watcher | None) -> RunSummary:
        """Wait for a run that another process drives; if that ends before it, the run goes on here or elsewhere.

        Args:
            run_id: The run.
            request: By which it was handed over, if that was just now.
            watcher: Who is told how it goes.
        """
        tries = 0
        while True:
            summary = follow(self.store, run_id, watcher)
            if request is not None and (refused := self.store.command_answer(request)):
                raise ConflictError(
                    f"run {run_id} was not taken up: {refused}", hint=f"Later: headgate resume {run_id}"
                )
            if summary is not None and summary.state is not RunState.INTERRUPTED:
                return summary
            try:
                return self.go_on(
                    run_id, retry=False, reason="the coordinator that drove it has ended", watcher=watcher
                )
            except ConflictError:
                # Another that waited may have been quicker: then it is the coordinator now.
                tries += 1
                if tries > TAKE_OVER_TRIES or self.store.leader() is None:
                    raise
                time.sleep(LOOK_EVERY_S)

    def _confirmed(self, world: World, plan: Plan, *, is_exact: bool) -> tuple[World, Plan]:
        """Return the world as it is now and the plan, if it is still what the request leads to.

        Args:
            world: What the plan was made from.
            plan: The plan.
            is_exact: Whether it has to be just that. Otherwise partitions may have been built meanwhile, which are
                left out then: that is less than what was asked for, and nothing else.

        Raises:
            ConflictError: It is not.
        """
        if self.store.journal_seq() == world.journal_seq:
            return world, plan
        fresh = look(self.project, self.store, plan.as_of_ms)
        again = make_plan(fresh.snapshot, plan.request)
        found = changes(plan, again, basis(world.snapshot, plan), basis(fresh.snapshot, again))
        if not found:
            # What is up to date beside the plan may have changed: the plan is the one that was shown.
            return fresh, replace(again, considered=plan.considered)
        if is_exact or any(len(one.added) or one.code or one.partitioning for one in found):
            raise ConflictError("the world has moved since this plan was made", hint="Plan again, and run that.")
        keep_rest(self.store, self.project, plan, fresh, again, now_ms=now_ms())
        return fresh, again

    def _run(self, begin: Callable[[Coordinator], str], watcher: Watcher | None) -> RunSummary:
        """Drive a run: the first Ctrl-C drains it, the second stops it; either way it can be resumed."""
        workers = self.project.config.workers
        executor = LocalExecutor(
            self.project.root,
            processes=workers.processes,
            io_concurrency=workers.io_concurrency,
            heartbeat_timeout_s=workers.heartbeat_timeout_s,
            log=self.project.paths.state.with_name("workers.log"),
        )
        coordinator = Coordinator(
            self.project,
            self.store,
            executor,
            author=author(),
            watcher=watcher,
            intake=Intake(self.project, lambda: self._open(create=False), wake=executor.wake, author=author()),
        )
        try:
            with _interruptible(coordinator), self._mirroring():
                run = begin(coordinator)
                if watcher is not None:
                    watcher.started(run, is_followed=False)
                summary = coordinator.drive()
        except (ConflictError, InternalError):
            # Somebody else may lead by now: nothing more is written.
            raise
        except BaseException:
            executor.close()
            self._settle()
            raise
        finally:
            executor.close()
        with suppress(UnavailableError):
            # Only now: no worker lives that could still write. What stays, the next coordinator removes.
            collect(self.store, self.project.paths.data)
        return summary

    def _mirroring(self) -> AbstractContextManager[object]:
        """Return what keeps mirrors up to date as long as a run is driven."""
        if all(dataset.mirror is None for dataset in self.project.datasets.values()):
            return nullcontext()
        # Only here: it needs the libraries for tables, which a coordinator does without.
        from headgate.drivers.mirror import Mirroring

        return Mirroring(self.project, lambda: self._open(create=False))

    def _settle(self) -> None:
        """Record that this coordinator has stopped in the middle; if even that fails, the next one does it."""
        with suppress(HeadgateError, OSError):
            take_over(
                self.store, self.project.paths.data, now_ms(), author=author(), reason="its coordinator was stopped"
            )


@contextmanager
def _interruptible(coordinator: Coordinator) -> Iterator[None]:
    asked = False

    def on_signal(_number: int, _frame: FrameType | None) -> None:
        nonlocal asked
        if asked:
            raise KeyboardInterrupt
        asked = True
        coordinator.drain()

    before = {number: signal.signal(number, on_signal) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
