"""Several real processes on one state store: writers, coordinators, and those that are killed."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from headgate.errors import ConflictError
from headgate.model.run import AttemptState
from headgate.store.sqlite import open_store
from headgate.store.witness import Witness

if TYPE_CHECKING:
    from pathlib import Path

    from headgate.store.sqlite import SqliteStore

OPEN = """
import os, signal, sys
from pathlib import Path
from headgate.store.sqlite import open_store
folder = Path(sys.argv[1])
store = open_store(folder / "state.db", data_root=folder / "data", create=True)
"""
WRITE = """
print("ready", flush=True)
sys.stdin.readline()
for n in range(int(sys.argv[2])):
    with store.transaction() as tx:
        tx.observe([], author="x", now_ms=1)
        tx.journal("note", author=sys.argv[3], run="", reason="", body={"n": n}, now_ms=n)
"""
HOLD = """
with store.lead("run 20130101-abc"):
    print("held", flush=True)
    sys.stdin.readline()
print("released", flush=True)
sys.stdin.readline()
"""
HOLD_AND_FORK = """
import time
with store.lead():
    if os.fork() == 0:
        # The child says it, since only then has it closed what it must not keep.
        print(os.getpid(), flush=True)
        os.close(1)
        sys.stdin.readline()
        os._exit(0)
    time.sleep(3600)
"""


def start(code: str, folder: Path, *arguments: str, **options: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", OPEN + code, str(folder), *arguments]
    environment = {**os.environ, **options}
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment)


def said(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def go_on(process: subprocess.Popen[str]) -> None:
    assert process.stdin is not None
    process.stdin.write("\n")
    process.stdin.flush()


def opened(folder: Path) -> SqliteStore:
    return open_store(folder / "state.db", data_root=folder / "data", create=True)


def test_writers_of_several_processes_wait_for_each_other(tmp_path: Path) -> None:
    # They also race to make the store.
    writers = [start(WRITE, tmp_path, "60", name) for name in ("a", "b")]
    assert [said(writer) for writer in writers] == ["ready", "ready"]
    for writer in writers:
        go_on(writer)
    for writer in writers:
        writer.communicate()
        assert writer.returncode == 0
    store = opened(tmp_path)
    entries = list(store.journal_entries())
    for name in ("a", "b"):
        assert [e.body for e in entries if e.author == name] == [f'{{"n":{n}}}' for n in range(60)]
    assert store.check() == []
    store.close()


def test_the_lead_is_refused_while_it_is_held_and_free_afterwards(tmp_path: Path) -> None:
    holder = start(HOLD, tmp_path)
    assert said(holder) == "held"
    store = opened(tmp_path)
    text = store.leader()
    assert text is not None
    assert text.startswith(f"process {holder.pid} on {os.uname().nodename}, since ")
    assert text.endswith(" UTC, run 20130101-abc")
    with pytest.raises(ConflictError) as caught, store.lead():
        pass
    assert caught.value.message == f"another coordinator ({text}) runs on this state store"
    assert caught.value.hint
    assert store.check() == []
    go_on(holder)
    assert said(holder) == "released"
    assert store.leader() is None
    with store.lead():
        pass
    holder.communicate()
    store.close()


def test_the_lead_dies_with_its_holder(tmp_path: Path) -> None:
    holder = start(HOLD, tmp_path)
    assert said(holder) == "held"
    store = opened(tmp_path)
    holder.kill()
    holder.communicate()
    assert store.leader() is None
    with store.lead():
        assert f"process {os.getpid()} " in (store.leader() or "")
    store.close()


def test_a_forked_worker_does_not_keep_the_lead(tmp_path: Path) -> None:
    holder = start(HOLD_AND_FORK, tmp_path)
    child = int(said(holder))
    store = opened(tmp_path)
    assert store.leader() is not None
    holder.kill()
    holder.wait()
    os.kill(child, 0)
    assert store.leader() is None
    go_on(holder)
    holder.communicate()
    store.close()


START_AND_PUBLISH = """
sys.path.insert(0, sys.argv[2])
from store_cases import a_candidate, an_attempt, a_run
with store.transaction() as tx:
    tx.add_run(a_run())
attempts = [an_attempt(n, f"k{n}") for n in (1, 2)]
with store.transaction() as tx:
    tx.start_attempts(attempts)
with store.transaction() as tx:
    tx.publish([a_candidate(a) for a in attempts], author="ada", now_ms=3_000)
"""


@pytest.mark.parametrize(("point", "running"), [("inside_intents", []), ("inside_publish", [1, 2])])
def test_a_kill_inside_a_transaction_leaves_nothing_of_it(
    tmp_path: Path, point: str, running: list[int], request: pytest.FixtureRequest
) -> None:
    cases = str(request.config.rootpath / "tests" / "conformance")
    process = start(START_AND_PUBLISH, tmp_path, cases, HEADGATE_CRASH_AT=f"coordinator.{point}")
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    store = opened(tmp_path)
    assert [a.id for a in store.running_attempts()] == running
    assert list(store.heads("flights")) == store.checkpoints("flights") == []
    assert [e.kind for e in store.journal_entries()] == ["run.submitted"]
    with store.transaction() as tx:
        tx.fence_attempts(now_ms=5)
    assert store.check() == []
    store.close()


PUBLISH_FOR_EVER = """
sys.path.insert(0, sys.argv[2])
from itertools import count
from store_cases import a_candidate, an_attempt, a_run
with store.lead(), store.transaction() as tx:
    tx.fence_attempts(now_ms=1)
    tx.add_run(a_run(sys.argv[3]))
for n in count(store.next_id(), 3):
    attempts = [an_attempt(n + i, f"{n + i}", run=sys.argv[3]) for i in range(3)]
    with store.transaction() as tx:
        tx.start_attempts(attempts)
    with store.transaction() as tx:
        tx.publish([a_candidate(a) for a in attempts], author="ada", now_ms=3_000)
    print(n + 2, flush=True)
"""


@pytest.mark.slow
def test_what_was_acknowledged_survives_any_number_of_kills(tmp_path: Path, request: pytest.FixtureRequest) -> None:
    cases = str(request.config.rootpath / "tests" / "conformance")
    chance = random.Random(20130101)
    for kill in range(12):
        process = start(PUBLISH_FOR_EVER, tmp_path, cases, f"run{kill}")
        last = 0
        for _ in range(chance.randrange(1, 60)):
            last = int(said(process))
        process.kill()
        process.communicate()
        store = opened(tmp_path)
        with store.lead(), store.transaction() as tx:
            tx.fence_attempts(now_ms=5)
        assert store.check() == []
        heads = {version for some in store.head_columns("flights") for version in some.version.tolist()}
        succeeded = {a.id for a in store.attempts(f"run{kill}") if a.state == AttemptState.SUCCEEDED}
        assert last in succeeded
        assert succeeded <= heads
        # Groups of three: all of one or none of it.
        assert len(succeeded) % 3 == 0
        store.close()


KILLED_AFTER_COMMIT = """
from headgate.store.witness import Witness
Witness.write = lambda self, mark: os.kill(os.getpid(), signal.SIGKILL)
with store.transaction() as tx:
    tx.journal("note", author="ada", run="", reason="", body={}, now_ms=1)
"""


def test_a_kill_between_commit_and_witness_is_made_good(tmp_path: Path) -> None:
    process = start(KILLED_AFTER_COMMIT, tmp_path)
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    witness = Witness(tmp_path / "data")
    behind = witness.read()
    assert behind is not None
    assert behind.seq == 0
    store = opened(tmp_path)
    with store.lead():
        mark = witness.read()
    assert mark is not None
    assert mark.seq == len(list(store.journal_entries())) == 1
    store.close()
