"""What every executor promises; what only some can do is skipped by capability."""

from __future__ import annotations

import contextlib
import os
import random
import select
import signal
import socket
import subprocess
import sys
import textwrap
import time
from typing import TYPE_CHECKING

import pytest
from msgspec import structs

from headgate.errors import UnavailableError
from headgate.executors.inline import InlineExecutor
from headgate.executors.local import LocalExecutor
from headgate.model.run import ErrorClass
from headgate.worker.messages import Cancelled, Failed, Lost, Order, Progressed, Returned, Staged, Yielded

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from headgate.executors.executor import Executor
    from headgate.worker.messages import Outcome, Report

LIMIT_S = 60.0
MODULE = "executor_conformance_tasks"
TASKS = '''
import asyncio, os, signal, socket, stat, struct, subprocess, sys, threading, time
from pathlib import Path

together = 0
everybody = None

def noop(): return None
async def anoop(): return None

def fail(): raise ValueError("no such bird")
async def afail(): raise ValueError("no such bird")
def batches(ctx):
    import pyarrow as pa
    import headgate
    mark(ctx)
    n = ctx.resume_from or 0
    while n < 3 or ctx.parameters.get("forever"):
        yield headgate.Batch(pa.table({"n": [n]}), offset=n + 1)
        n += 1
        time.sleep(0.01)

def exit_quietly(): os._exit(3)
def abort(): os.abort()
def kill_itself(): os.kill(os.getpid(), signal.SIGKILL)
def stop_itself(): os.kill(os.getpid(), signal.SIGSTOP)

def mark(ctx): (Path(ctx.parameters["dir"]) / str(ctx.attempt)).write_text(str(os.getpid()))

def hang(ctx):
    mark(ctx)
    time.sleep(600)

def hang_with_child(ctx):
    child = subprocess.Popen(["sleep", "600"])
    (Path(ctx.parameters["dir"]) / "child").write_text(str(child.pid))
    hang(ctx)

def hang_stubbornly(ctx):
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    hang(ctx)

def wait_for_go(ctx):
    mark(ctx)
    while not (Path(ctx.parameters["dir"]) / "go").exists():
        time.sleep(0.01)

def wait_for_go_stubbornly(ctx):
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    wait_for_go(ctx)

def answer_at_term(ctx):
    from headgate.worker.messages import Staged, frame
    def answer(*_):
        os.write(_channel(), frame([Staged(ctx.attempt, [], 0, 0, "", None, None, None, 0, 1.0)]))
        os._exit(1)
    signal.signal(signal.SIGTERM, answer)
    hang(ctx)

async def ahang(ctx):
    mark(ctx)
    await asyncio.sleep(600)

async def ahang_stubbornly(ctx):
    mark(ctx)
    while True:
        try:
            await asyncio.sleep(600)
        except asyncio.CancelledError:
            pass

async def ablock(ctx):
    mark(ctx)
    time.sleep(600)

async def acancel_itself():
    asyncio.current_task().cancel()
    await asyncio.sleep(0)

async def meet(ctx):
    """Ends only when as many as `expected` have come together."""
    global together, everybody
    everybody = everybody or asyncio.Event()
    together += 1
    if together == ctx.parameters["expected"]:
        everybody.set()
    await everybody.wait()

def noise():
    print("noise" * 1000)
    sys.stdout.buffer.write(bytes(range(256)) * 100)
    sys.stdout.flush()
    os.write(1, b"\\x00\\x00\\x00\\x04junk")
    os.write(2, b"\\xff" * 10_000)
    subprocess.run(["echo", "from a child"], check=True)
    print("more noise", file=sys.stderr)

def fork_and_return():
    if os.fork() > 0:
        os.wait()

def fail_at_length(ctx): raise ValueError("x" * ctx.parameters["length"])
def fail_unspeakably(): raise ValueError("\\udcff")

def _channel():
    (fd,) = [fd for fd in map(int, os.listdir("/proc/self/fd")) if fd > 2 and _is_socket(fd)]
    return fd

def _is_socket(fd):
    try:
        return stat.S_ISSOCK(os.fstat(fd).st_mode)
    except OSError:
        return False

def _inject(data):
    os.write(_channel(), data)
    time.sleep(600)

def inject_junk(): _inject(b"\\x00\\x00\\x00\\x04junk")
def inject_length(): _inject(b"\\xff\\xff\\xff\\xff")
def inject_nesting(): _inject(struct.pack(">I", 100_000) + b"\\x91" * 100_000)
def inject_wrong_type(): _inject(struct.pack(">I", 8) + b"\\x91\\x92\\xa4beat\\xc0")
def inject_foreign_attempt(): _inject(struct.pack(">I", 15) + b"\\x91\\x92\\xa9cancelled\\xcd\\x27\\x0f")
def close_channel():
    os.close(_channel())
    time.sleep(600)
'''


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Path]:
    root = tmp_path / "project"
    root.mkdir()
    (root / f"{MODULE}.py").write_text(TASKS)
    path = list(sys.path)
    yield root
    sys.path[:] = path
    sys.modules.pop(MODULE, None)


@pytest.fixture
def local(project: Path) -> Iterator[Callable[..., LocalExecutor]]:
    with contextlib.ExitStack() as stack:

        def make(**options: float) -> LocalExecutor:
            log = project / "worker.log"
            executor = LocalExecutor(project, **{"processes": 2, "log": log, **options})  # type: ignore[arg-type]
            return stack.enter_context(contextlib.closing(executor))

        yield make


@pytest.fixture(params=["local", "inline"])
def executor(request: pytest.FixtureRequest, project: Path, local: Callable[..., LocalExecutor]) -> Iterator[Executor]:
    with contextlib.closing(local() if request.param == "local" else InlineExecutor(project)) as executor:
        yield executor


class Orders:
    """Makes orders with consecutive attempt numbers."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._attempt = 0

    def __call__(self, name: str, *, timeout_ms: int | None = None, **parameters: str | int) -> Order:
        self._attempt += 1
        return Order(
            attempt=self._attempt,
            entry=f"{MODULE}:{name}",
            dataset="birds",
            key="all",
            window=None,
            number=1,
            run="run",
            inputs=[],
            stage=str(self.directory / "stage" / f"{self._attempt}.parquet"),
            parameters={"dir": str(self.directory), **parameters},
            is_async=f"async def {name}(" in TASKS,
            timeout_ms=timeout_ms,
        )

    def has_started(self, order: Order) -> bool:
        mark = self.directory / str(order.attempt)
        return mark.exists() and bool(mark.read_text())


@pytest.fixture
def order(tmp_path: Path) -> Orders:
    return Orders(tmp_path)


def collect(executor: Executor, count: int, until: Callable[[], bool] = lambda: True) -> dict[int, Outcome]:
    """Poll until so many attempts are reported and `until` holds; each may be reported only once."""
    found: dict[int, Outcome] = {}
    deadline = time.monotonic() + LIMIT_S
    while len(found) < count or not until():
        assert time.monotonic() < deadline, f"{len(found)} of {count} reported; attached: {executor.attached()}"
        for outcome in executor.poll(0.02 if len(found) >= count else 1.0):
            if isinstance(outcome, Progressed):
                assert outcome.attempt not in found, f"{outcome} after {found[outcome.attempt]}"
                continue
            for attempt in outcome.attempts if isinstance(outcome, Returned) else [outcome.attempt]:
                assert attempt not in found, f"{outcome} after {found[attempt]}"
                found[attempt] = outcome
    return found


def start(executor: Executor, orders: Orders, *wanted: Order) -> None:
    """Submit orders and poll until they run."""
    executor.submit(*wanted)
    assert collect(executor, 0, lambda: all(orders.has_started(one) for one in wanted)) == {}


def kinds(found: dict[int, Outcome], orders: list[Order]) -> set[type[Outcome]]:
    return {type(found[one.attempt]) for one in orders}


def ends(pid: int) -> bool:
    """Wait until a process, of whomever, has ended."""
    try:
        watched = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        return bool(select.select([watched], [], [], LIMIT_S)[0])
    finally:
        os.close(watched)


# What every executor does.


def test_runs_a_thousand_noops(executor: Executor, order: Orders) -> None:
    orders = [order("noop") for _ in range(1000)]
    executor.submit(*orders)
    found = collect(executor, 1000)
    assert kinds(found, orders) == {Staged}
    assert executor.attached() == set()


def test_runs_async_functions(executor: Executor, order: Orders) -> None:
    orders = [order("anoop") for _ in range(100)]
    executor.submit(*orders)
    assert kinds(collect(executor, 100), orders) == {Staged}


def test_knows_what_it_holds_and_has_room_again_afterwards(executor: Executor, order: Orders) -> None:
    room = executor.capacity()
    assert 0 < room.process.free <= room.process.slots * room.process.depth
    assert 0 < room.io.free <= room.io.slots * room.io.depth
    orders = [order("noop") for _ in range(room.process.free)] + [order("anoop")]
    executor.submit(*orders)
    assert executor.attached() == {one.attempt for one in orders}
    assert (executor.capacity().process.free, executor.capacity().io.free) == (0, room.io.free - 1)
    collect(executor, len(orders))
    assert executor.capacity().process.free > 0
    assert executor.capacity().io == room.io


def test_a_class_is_spread_among_so_many_workers_at_most(local: Callable[..., LocalExecutor], order: Orders) -> None:
    executor = local(processes=2)
    narrow = [structs.replace(order("wait_for_go"), service_class="backfill", spread=1) for _ in range(2)]
    start(executor, order, narrow[0])
    executor.submit(narrow[1])
    urgent = structs.replace(order("noop"), service_class="fresh", spread=2)
    executor.submit(urgent)
    found: dict[int, Outcome] = {}
    while urgent.attempt not in found:
        found |= collect(executor, 1)
    assert isinstance(found[urgent.attempt], Staged)
    assert not order.has_started(narrow[1])
    (order.directory / "go").touch()
    # The second may have been given back, if it waited behind the first for long.
    found |= collect(executor, 3 - len(found))
    assert isinstance(found[narrow[0].attempt], Staged)


def batched(order: Order) -> Order:
    return structs.replace(order, batches_ms=0)


def test_progress_comes_in_order_before_the_outcome(executor: Executor, order: Orders) -> None:
    (order.directory / "stage").mkdir()
    wanted = batched(order("batches"))
    executor.submit(wanted)
    heard: list[Report] = []
    while not heard or isinstance(heard[-1], Progressed):
        heard += executor.poll(1.0)
        assert wanted.attempt in executor.attached() or isinstance(heard[-1], Staged)
    assert [one.offset for one in heard if isinstance(one, Progressed)] == [1, 2, 3]
    (outcome,) = heard[3:]
    assert isinstance(outcome, Staged)
    assert [file.path for file in outcome.files] == [one.part.path for one in heard if isinstance(one, Progressed)]


def test_asking_who_has_no_checkpoints_or_is_not_there_does_nothing(executor: Executor, order: Orders) -> None:
    wanted = order("noop")
    executor.ask_to_yield(wanted.attempt)
    executor.submit(wanted)
    found = collect(executor, 1)
    executor.ask_to_yield(wanted.attempt)
    assert kinds(found, [wanted]) == {Staged}
    assert collect(executor, 0) == {}


def test_a_running_attempt_yields_at_its_next_checkpoint_and_its_worker_goes_on(
    local: Callable[..., LocalExecutor], order: Orders
) -> None:
    (order.directory / "stage").mkdir()
    executor = local(processes=1)
    running, queued = batched(order("batches", forever=1)), batched(order("batches"))
    start(executor, order, running)
    executor.submit(queued)
    for _ in range(2):
        executor.ask_to_yield(queued.attempt)
        executor.ask_to_yield(running.attempt)
    found = collect(executor, 2)
    assert kinds(found, [running]) == {Yielded}
    # What has not started is given back.
    assert kinds(found, [queued]) == {Returned}
    assert executor.attached() == set()
    assert executor.capacity().process.free > 0
    after = order("noop")
    executor.submit(after)
    assert kinds(collect(executor, 1), [after]) == {Staged}


@pytest.mark.parametrize("name", ["fail", "afail"])
def test_an_exception_fails_its_attempt_alone(executor: Executor, order: Orders, name: str) -> None:
    bad, good = order(name), order("noop")
    executor.submit(bad, good)
    found = collect(executor, 2)
    failed = found[bad.attempt]
    assert isinstance(failed, Failed)
    assert "no such bird" in failed.message
    assert f"{MODULE}.py" in failed.traceback
    assert isinstance(found[good.attempt], Staged)


def test_an_entry_that_does_not_exist_fails(executor: Executor, order: Orders) -> None:
    executor.submit(order("missing"))
    (outcome,) = collect(executor, 1).values()
    assert isinstance(outcome, Failed)


def test_async_functions_run_together(project: Path, local: Callable[..., LocalExecutor], order: Orders) -> None:
    for executor in (local(io_concurrency=2000), InlineExecutor(project)):
        with contextlib.closing(executor):
            orders = [order("meet", expected=2000) for _ in range(2000)]
            executor.submit(*orders)
            assert kinds(collect(executor, 2000), orders) == {Staged}


def test_cancels_what_waits(executor: Executor, order: Orders) -> None:
    orders = [order("noop") for _ in range(200)]
    executor.submit(*orders)
    executor.cancel(orders[-1].attempt)
    executor.cancel(orders[-1].attempt)
    executor.cancel(10_000)
    found = collect(executor, 200)
    assert isinstance(found[orders[-1].attempt], Cancelled)
    assert kinds(found, orders[:-1]) == {Staged}


def test_wake_ends_a_poll(executor: Executor) -> None:
    previous = signal.signal(signal.SIGALRM, lambda *_: executor.wake())
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.05)
        assert executor.poll(10 * LIMIT_S) == []
    finally:
        signal.signal(signal.SIGALRM, previous)


def test_close_twice_and_wake_afterwards(executor: Executor, order: Orders) -> None:
    executor.submit(order("noop"))
    executor.close()
    executor.close()
    executor.wake()
    assert executor.attached() == set()


# What only an executor with `can_kill` does.


@pytest.mark.parametrize("name", ["kill_itself", "abort", "exit_quietly", "close_channel"])
def test_a_dead_worker_costs_its_own_attempt(local: Callable[..., LocalExecutor], order: Orders, name: str) -> None:
    executor = local()
    bystander = order("wait_for_go")
    start(executor, order, bystander)
    bad = order(name)
    executor.submit(bad)
    (lost,) = collect(executor, 1).values()
    assert isinstance(lost, Lost)
    assert {"kill_itself": "signal 9", "abort": "SIGABRT", "exit_quietly": "status 3", "close_channel": "worker"}[
        name
    ] in lost.why
    (order.directory / "go").touch()
    orders = [order("noop") for _ in range(50)]
    executor.submit(*orders)
    found = collect(executor, 51)
    assert kinds(found, [bystander, *orders]) == {Staged}


@pytest.mark.slow
def test_a_hung_worker_is_killed(local: Callable[..., LocalExecutor], order: Orders) -> None:
    executor = local(heartbeat_timeout_s=1.5)
    hung = order("stop_itself")
    executor.submit(hung, *[order("noop") for _ in range(10)])
    lost = collect(executor, 11)[hung.attempt]
    assert isinstance(lost, Lost)
    assert "no sign of life for 1.5 s" in lost.why


def test_cancels_a_running_attempt_with_all_it_started(local: Callable[..., LocalExecutor], order: Orders) -> None:
    executor = local()
    cancelled, bystander = order("hang_with_child"), order("wait_for_go")
    start(executor, order, cancelled, bystander)
    child = int((order.directory / "child").read_text())
    executor.cancel(cancelled.attempt)
    executor.cancel(cancelled.attempt)
    assert collect(executor, 1) == {cancelled.attempt: Cancelled(cancelled.attempt)}
    assert ends(child)
    (order.directory / "go").touch()
    assert isinstance(collect(executor, 1)[bystander.attempt], Staged)


def test_kills_what_ignores_sigterm(local: Callable[..., LocalExecutor], order: Orders) -> None:
    executor = local(kill_grace_s=0.1)
    stubborn = order("hang_stubbornly")
    start(executor, order, stubborn)
    executor.cancel(stubborn.attempt)
    assert collect(executor, 1) == {stubborn.attempt: Cancelled(stubborn.attempt)}


def test_cancels_an_order_that_waits_in_a_worker(local: Callable[..., LocalExecutor], order: Orders) -> None:
    executor = local(processes=1)
    running, waiting = order("wait_for_go"), order("noop")
    start(executor, order, running)
    executor.submit(waiting)
    executor.cancel(waiting.attempt)
    assert collect(executor, 1) == {waiting.attempt: Cancelled(waiting.attempt)}
    (order.directory / "go").touch()
    assert isinstance(collect(executor, 1)[running.attempt], Staged)


def test_cancels_an_order_that_has_started_meanwhile(local: Callable[..., LocalExecutor], order: Orders) -> None:
    executor = local(processes=1, kill_grace_s=0.1)
    first, second = order("wait_for_go"), order("hang")
    start(executor, order, first)
    executor.submit(second)
    (order.directory / "go").touch()
    deadline = time.monotonic() + LIMIT_S
    while not order.has_started(second):  # Without a poll: the executor still believes that the first one runs.
        assert time.monotonic() < deadline
        time.sleep(0.005)
    executor.cancel(second.attempt)
    found = collect(executor, 2)
    assert isinstance(found[first.attempt], Staged)
    assert found[second.attempt] == Cancelled(second.attempt)


def test_what_waits_behind_an_end_that_races_with_its_cancel_is_returned(
    local: Callable[..., LocalExecutor], order: Orders
) -> None:
    executor = local(processes=1)
    first, second = order("answer_at_term"), order("noop")
    start(executor, order, first)
    executor.submit(second)
    executor.cancel(first.attempt)
    found = collect(executor, 2)
    assert isinstance(found[first.attempt], Staged)
    assert found[second.attempt] == Returned([second.attempt])


@pytest.mark.slow
def test_what_began_behind_an_attempt_that_ignores_its_cancel_is_lost(
    local: Callable[..., LocalExecutor], order: Orders
) -> None:
    executor = local(processes=1, kill_grace_s=5.0)  # Long enough for beats that tell of the second.
    first, second = order("wait_for_go_stubbornly"), order("hang")
    start(executor, order, first)
    executor.submit(second)
    executor.cancel(first.attempt)
    (order.directory / "go").touch()
    found = collect(executor, 2)
    assert isinstance(found[first.attempt], Staged)
    assert isinstance(found[second.attempt], Lost)


def test_an_end_that_has_arrived_is_not_cancelled(local: Callable[..., LocalExecutor], order: Orders) -> None:
    executor = local(processes=1)
    first, second = order("wait_for_go"), order("hang")
    start(executor, order, first)
    executor.submit(second)
    (order.directory / "go").touch()
    deadline = time.monotonic() + LIMIT_S
    while not order.has_started(second):  # Without a poll: the executor still believes that the first one runs.
        assert time.monotonic() < deadline
        time.sleep(0.005)
    executor.cancel(first.attempt)
    assert isinstance(collect(executor, 1)[first.attempt], Staged)
    assert executor.attached() == {second.attempt}


@pytest.mark.parametrize("name", ["hang", "ahang"])
def test_a_time_limit_ends_its_attempt_alone(local: Callable[..., LocalExecutor], order: Orders, name: str) -> None:
    executor = local()
    bystander, overdue = order("wait_for_go"), order(name, timeout_ms=300)
    executor.submit(bystander, overdue)
    failed = collect(executor, 1)[overdue.attempt]
    assert isinstance(failed, Failed)
    assert failed.error_class == ErrorClass.TIMEOUT
    assert "0.3 s" in failed.message
    (order.directory / "go").touch()
    assert isinstance(collect(executor, 1)[bystander.attempt], Staged)


@pytest.mark.slow
def test_what_waits_behind_a_long_attempt_is_returned(local: Callable[..., LocalExecutor], order: Orders) -> None:
    executor = local(processes=1)
    long = order("wait_for_go")
    start(executor, order, long)
    behind = order("noop")
    executor.submit(behind)
    assert collect(executor, 1) == {behind.attempt: Returned([behind.attempt])}
    assert executor.capacity().process.free == 0
    (order.directory / "go").touch()
    assert isinstance(collect(executor, 1)[long.attempt], Staged)
    assert executor.capacity().process.free > 0


def test_async_attempts_are_cancelled_alone(local: Callable[..., LocalExecutor], order: Orders) -> None:
    executor = local(kill_grace_s=0.1)
    orders = [order("ahang"), order("ahang"), order("ahang_stubbornly")]
    start(executor, order, *orders)
    executor.cancel(orders[0].attempt)
    executor.cancel(orders[2].attempt)
    assert set(collect(executor, 2).values()) == {Cancelled(orders[0].attempt), Cancelled(orders[2].attempt)}
    assert executor.attached() == {orders[1].attempt}


def test_an_async_attempt_cancelled_before_its_first_step(local: Callable[..., LocalExecutor], order: Orders) -> None:
    executor = local()
    start(executor, order, order("ahang"))
    late = order("ahang")
    executor.submit(late)
    executor.cancel(late.attempt)
    assert collect(executor, 1) == {late.attempt: Cancelled(late.attempt)}


def test_an_async_function_that_cancels_itself_fails(local: Callable[..., LocalExecutor], order: Orders) -> None:
    executor = local()
    executor.submit(order("acancel_itself"))
    (outcome,) = collect(executor, 1).values()
    assert isinstance(outcome, Failed)


@pytest.mark.slow
def test_a_blocked_event_loop_loses_what_runs_on_it(local: Callable[..., LocalExecutor], order: Orders) -> None:
    executor = local(heartbeat_timeout_s=1.5)
    innocent, blocking = order("ahang"), order("ablock")
    start(executor, order, innocent)
    executor.submit(blocking)
    assert kinds(collect(executor, 2), [innocent, blocking]) == {Lost}
    executor.submit(order("anoop"))
    assert [type(outcome) for outcome in collect(executor, 1).values()] == [Staged]


@pytest.mark.parametrize("name", ["noise", "fork_and_return"])
def test_output_and_forks_do_not_disturb(local: Callable[..., LocalExecutor], order: Orders, name: str) -> None:
    executor = local()
    orders = [order(name) for _ in range(20)]
    executor.submit(*orders)
    assert kinds(collect(executor, 20), orders) == {Staged}


@pytest.mark.parametrize(
    "name", ["inject_junk", "inject_length", "inject_nesting", "inject_wrong_type", "inject_foreign_attempt"]
)
def test_a_worker_that_sends_nonsense_is_killed(local: Callable[..., LocalExecutor], order: Orders, name: str) -> None:
    executor = local(processes=1)
    bad, good = order(name), order("noop")
    executor.submit(bad, good)
    found = collect(executor, 2)
    lost = found[bad.attempt]
    assert isinstance(lost, Lost)
    assert "makes no sense" in lost.why
    assert isinstance(found[good.attempt], Returned)
    executor.submit(order("noop"))
    assert [type(outcome) for outcome in collect(executor, 1).values()] == [Staged]


def test_large_orders_and_results_do_not_block(local: Callable[..., LocalExecutor], order: Orders) -> None:
    executor = local()
    orders = [order("fail_at_length", length=500_000, padding="y" * 500_000) for _ in range(60)]
    executor.submit(*orders)
    assert kinds(collect(executor, 60), orders) == {Failed}


def test_an_order_that_cannot_be_sent_fails_alone(local: Callable[..., LocalExecutor], order: Orders) -> None:
    executor = local(processes=1)
    orders = [order("noop"), order("noop", padding="\udcff"), order("noop"), order("fail_unspeakably")]
    executor.submit(*orders)
    found = collect(executor, 4)
    assert [type(found[one.attempt]) for one in orders] == [Staged, Failed, Staged, Failed]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["noop", "anoop"])
def test_workers_that_cannot_start_give_their_orders_back(
    local: Callable[..., LocalExecutor], order: Orders, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str
) -> None:
    broken = tmp_path / "python"
    broken.write_text("#!/bin/sh\necho this python is broken >&2\nexit 7\n")
    broken.chmod(0o755)
    executor = local()
    with monkeypatch.context() as patch:
        patch.setattr(sys, "executable", str(broken))
        executor.submit(*[order(name) for _ in range(5)])
        assert {type(outcome) for outcome in collect(executor, 5).values()} == {Returned}
        assert executor.attached() == set()
        assert 0 in {room.free for room in executor.capacity()}
        for _ in range(2):
            with pytest.raises(UnavailableError, match="status 7: this python is broken") as caught:
                executor.poll(LIMIT_S)
            assert str(tmp_path) in str(caught.value.hint)
    executor.submit(order(name))
    assert [type(outcome) for outcome in collect(executor, 1).values()] == [Staged]


def test_a_project_folder_that_is_gone_gives_the_orders_back(tmp_path: Path, order: Orders) -> None:
    with contextlib.closing(LocalExecutor(tmp_path / "gone", processes=1)) as executor:
        executor.submit(order("noop"))
        assert [type(outcome) for outcome in collect(executor, 1).values()] == [Returned]
        with pytest.raises(UnavailableError, match=r"no worker process can start: .*gone"):
            executor.poll(LIMIT_S)


def test_close_leaves_nothing_behind(local: Callable[..., LocalExecutor], order: Orders) -> None:
    before = set(os.listdir("/proc/self/fd"))
    executor = local()
    running = [order("hang_with_child"), order("hang"), order("ahang")]
    start(executor, order, *running)
    pids = [int((order.directory / str(one.attempt)).read_text()) for one in running]
    executor.close()
    assert not any(os.path.exists(f"/proc/{pid}") for pid in pids)
    assert ends(int((order.directory / "child").read_text()))
    assert set(os.listdir("/proc/self/fd")) == before


def test_workers_inherit_nothing_but_their_channel(local: Callable[..., LocalExecutor], order: Orders) -> None:
    lock, other = socket.socketpair()
    lock.set_inheritable(True)
    with lock, other:
        executor = local()
        running = order("hang")
        start(executor, order, running)
        pid = int((order.directory / str(running.attempt)).read_text())
        links = [os.readlink(f"/proc/{pid}/fd/{fd}") for fd in os.listdir(f"/proc/{pid}/fd")]
        assert sum(link.startswith("socket:") for link in links) == 1
        assert f"socket:[{os.fstat(lock.fileno()).st_ino}]" not in links


@pytest.mark.slow
def test_a_storm_of_deaths_reports_each_attempt_once(local: Callable[..., LocalExecutor], order: Orders) -> None:
    executor = local()
    names = ["noop"] * 400 + ["kill_itself"] * 15 + ["exit_quietly"] * 15 + ["inject_junk"] * 5 + ["fail"] * 50
    random.Random(7).shuffle(names)
    waiting = [order(name) for name in names]
    ended: dict[str, set[type[Outcome]]] = {}
    while waiting:
        by_attempt = {one.attempt: one for one in waiting}
        executor.submit(*waiting)
        waiting = []
        for attempt, outcome in collect(executor, len(by_attempt)).items():
            name = by_attempt[attempt].entry.partition(":")[2]
            if isinstance(outcome, Returned):
                waiting.append(order(name))
            else:
                ended.setdefault(name, set()).add(type(outcome))
    assert ended == {
        "noop": {Staged},
        "fail": {Failed},
        "kill_itself": {Lost},
        "exit_quietly": {Lost},
        "inject_junk": {Lost},
    }


@pytest.mark.slow
def test_fifty_deaths_leak_no_descriptor(local: Callable[..., LocalExecutor], order: Orders) -> None:
    executor = local()
    executor.submit(order("noop"), order("noop"))
    collect(executor, 2)
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(50):
        executor.submit(order("kill_itself"))
        assert [type(outcome) for outcome in collect(executor, 1).values()] == [Lost]
    assert len(os.listdir("/proc/self/fd")) == before


COORDINATOR = """
    import os, sys
    from pathlib import Path
    import msgspec
    from headgate.executors.local import LocalExecutor
    from headgate.worker.messages import Order

    project, directory, orders = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]
    executor = LocalExecutor(project, processes=2)
    wanted = msgspec.json.decode(orders, type=list[Order])
    executor.submit(*wanted)
    marks = [directory / str(order.attempt) for order in wanted]
    while not all(mark.exists() and mark.read_text() for mark in marks):
        executor.poll(0.02)
    print("running", flush=True)
    while True:
        executor.poll(60)
"""


def test_workers_end_with_a_killed_coordinator(project: Path, order: Orders) -> None:
    import msgspec

    wanted = [order("hang_with_child"), order("hang_stubbornly"), order("ablock")]
    command = [sys.executable, "-c", textwrap.dedent(COORDINATOR), str(project), str(order.directory)]
    with subprocess.Popen(
        [*command, msgspec.json.encode(wanted).decode()], stdout=subprocess.PIPE, text=True
    ) as coordinator:
        assert coordinator.stdout is not None
        assert coordinator.stdout.readline() == "running\n"
        pids = [int((order.directory / name).read_text()) for name in ("1", "2", "3", "child")]
        coordinator.kill()
        assert all(ends(pid) for pid in pids)
