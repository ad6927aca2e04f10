"""Everything at once: commands in random order, killed at random, while others read. No read may be wrong.

A seed says what is done and where it is killed; what a kill at a random moment hits, and how two commands that run at
once are interleaved, it cannot say.
"""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest
import together
from scene import children, kill
from together import CLEAN, HELD, TABLES, VACUUMED, Together, wrong_in

from headgate.crashpoints import POINTS
from headgate.drivers.clock import now_ms
from headgate.model.run import RunKind, RunState
from headgate.store.quarantine import QuarantineState

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from headgate.model.run import Run

pytestmark = pytest.mark.slow

# The seeds of `make crash` begin where those of CI end.
SEEDS = (
    [int(os.environ["HEADGATE_TOGETHER_SEED"])]
    if "HEADGATE_TOGETHER_SEED" in os.environ
    else range(int(os.environ.get("HEADGATE_KILL_ROUNDS", "2")))
)
STEPS = int(os.environ.get("HEADGATE_TOGETHER_STEPS", "6"))
TIMEOUT_S = 300
KILLED = -9
WHY = ("--reason", "together")
BUILDING = ("worker.", "coordinator.", "mirror.", "quarantine.inside_hold")
# What of POINTS a command may come by.
PLACES = {
    "backfill": BUILDING,
    "together": (*BUILDING, "together."),
    "resume": (*BUILDING, "together."),
    "retry": (*BUILDING, "together."),
    "rollback": ("rollback.", "mirror."),
    "release": ("quarantine.", "mirror.", "coordinator.inside_publish"),
    "drop": ("quarantine.",),
    "publish": ("together.", "mirror."),
    "compact": ("compact.", "mirror.", "coordinator."),
    "vacuum": ("vacuum.",),
    "mirror": ("mirror.",),
}
BUILDERS = frozenset({"backfill", "together", "resume", "retry", "publish"})
REVIVERS = frozenset({"rollback", "resume", "retry", "publish", "release"})
"""Commands that may show what was made or planned long before."""
FAILED = frozenset({RunState.FAILED, RunState.INTERRUPTED})
UNDECIDED = {
    "resume": frozenset({RunState.RUNNING, RunState.INTERRUPTED}),
    "retry": FAILED,
    "publish": frozenset({RunState.STAGED, RunState.INTERRUPTED}),
    "discard": frozenset({RunState.STAGED, RunState.FAILED}),
}
"""In which states of a run a command may have something to do."""


@dataclass
class Play:
    """One seed: what it does to a project, step by step.

    Args:
        scene: The project.
        seed: The seed.
    """

    scene: Together
    seed: int
    told: list[str] = field(default_factory=list)
    readers: list[subprocess.Popen[str]] = field(default_factory=list)
    seen: list[tuple[int, dict[tuple[str, str], str]]] = field(default_factory=list)
    has_left_out: bool = False
    """Whether a run may have left out what a rollback held."""
    first: str = ""
    """The run that all partitions go back to at the most: rolling it back would make holes."""

    def __post_init__(self) -> None:
        self.chance = random.Random(self.seed)
        self.is_consistent = self.seed % 2 == 1
        """Whether all that is published is published together, and rolled back with what was made from it."""

    def run(self) -> None:
        """Build, play all steps while others read, bring all to an end, and look at what is there."""
        self._quietly("backfill", "--yes", *WHY)
        self.first = self._runs()[0].id
        for how in ("python", "sql", "mirror"):
            self.readers.append(self._reader(how))
        try:
            for _ in range(STEPS):
                self._step()
                self._ask_readers()
                self._look()
            self._finish()
            self._ask_readers()
        finally:
            reads = self._end_readers()
        assert all(said.isdigit() and int(said) > 0 for said in reads), self._story(f"readers: {reads}")
        self._assert_sound()

    def _step(self) -> None:
        self._let_readers_look_again()
        started: list[tuple[str, subprocess.Popen[str], float | None]] = []
        wanted = 1 + (self.chance.random() < 0.4)
        while len(started) < wanted:
            likely = self._likely(beside=bool(started))
            (name,) = self.chance.choices([*likely], [*likely.values()])
            arguments = self._arguments(name)
            if arguments is not None:
                self._let_holds_part(name, [other for other, *_ in started])
                if started:
                    # It is to meet the first one under way.
                    time.sleep(self.chance.uniform(0.0, 3.0))
                started.append((name, *self._start(name, arguments)))
        for name, process, moment_s in started:
            self._await(name, process, moment_s)

    def _let_holds_part(self, name: str, beside: Sequence[str]) -> None:
        """Tell readers if a run may leave out what a rollback holds: that stays made of what was there before."""
        names = {name, *beside}
        if names & BUILDERS and ("rollback" in names or self._held()):
            self.has_left_out = True
        elif not names & REVIVERS:
            return
        if self.has_left_out:
            (self.scene.root / HELD).touch()

    def _let_readers_look_again(self) -> None:
        """Tell readers that no run leaves anything out any more, if that is so and nothing is left of it."""
        if not self._held() and not together.mixed(self.scene.root):
            (self.scene.root / HELD).unlink(missing_ok=True)

    @staticmethod
    def _likely(*, beside: bool) -> dict[str, int]:
        """Return how likely commands are, the second of two that run at once among others."""
        if beside:
            # Code that changes under a run mostly ends it.
            return {
                "backfill": 1, "together": 1, "rollback": 6, "resolve": 2, "release": 3, "drop": 2, "compact": 1,
                "vacuum": 3, "verify": 1, "resume": 2, "retry": 2, "publish": 3, "discard": 1, "mirror": 1,
            }  # fmt: skip
        return {
            "backfill": 8, "together": 6, "rollback": 5, "resolve": 3, "release": 4, "drop": 1, "compact": 2,
            "vacuum": 2, "verify": 1, "resume": 4, "retry": 3, "publish": 2, "discard": 1, "mirror": 1,
        }  # fmt: skip

    def _arguments(self, name: str) -> tuple[str, ...] | None:
        """Return what a command is called with; None if there is nothing that it could do."""
        match name:
            case "backfill" | "together":
                changed = self.chance.sample(TABLES, self.chance.randint(1, 2))
                # One partition that is refused keeps a run that publishes together from showing anything.
                is_clean = self.is_consistent and self.chance.random() < 0.7
                turns = {one: self.scene.turns[one] + 1 for one in changed}
                self.scene.write(**{one: turn + (is_clean and turn % 4 not in CLEAN) for one, turn in turns.items()})
                return self._backfill(is_together=self.is_consistent or name == "together")
            case "rollback":
                runs = [run for run in self._runs() if run.id != self.first and run.kind is not RunKind.COMPACTION]
                which = self.chance.choice(runs[:2]).id if runs else None
                moved_on = self.chance.choice([(), ("--moved-on", "skip"), ("--moved-on", "include")])
                cone = "--with-downstream"
                if not self.is_consistent and self.chance.random() < 0.3:
                    cone = "--leave-downstream"
                return None if which is None else ("rollback", which, cone, *moved_on, "--yes", *WHY)
            case "resolve":
                held = self._held()
                return ("resolve", self.chance.choice(held), *WHY) if held else None
            case "release" | "drop":
                return self._decision(name)
            case "compact":
                return ("compact", "--older-than", "0", "--min-files", "2", *WHY)
            case "vacuum":
                (self.scene.root / VACUUMED).touch()
                return ("vacuum", "--keep", "0", "--keep-versions", str(self.chance.randint(0, 2)), "--yes", *WHY)
            case "verify":
                return ("verify", *self.chance.choice([(), ("--content",), ("--all-versions",)]))
            case "mirror":
                return ("mirror", "--once")
            case _:
                undecided = [run.id for run in self._runs() if run.state in UNDECIDED[name]]
                return (name, self.chance.choice(undecided), *WHY) if undecided else None

    def _backfill(self, *, is_together: bool) -> tuple[str, ...]:
        arguments = ["backfill", "--yes", "--overlap", self.chance.choice(["refuse", "join", "queue"]), *WHY]
        if is_together:
            arguments += ["--approve-first"] if self.chance.random() < 0.2 else ["--publish", "together"]
        elif self.chance.random() < 0.3:
            first = self.chance.randint(1, 4)
            arguments += ["--start", f"2024-01-0{first}", "--end", f"2024-01-0{first + self.chance.randint(1, 2)}"]
        return tuple(arguments)

    def _decision(self, name: str) -> tuple[str, ...] | None:
        """Return how something in quarantine is decided; what is forbidden is never released."""
        held = []
        store = self.scene.opened()
        try:
            for one in store.quarantined(states=frozenset({QuarantineState.HELD})):
                doubtful = one.candidate.dataset == "events" and one.candidate.key == "2024-01-04"
                staged = (run := store.run(one.candidate.run)) is not None and run.publication.is_staged
                if name == "drop" or (doubtful and (staged or not self.is_consistent)):
                    held.append(one.candidate.attempt)
        finally:
            store.close()
        if not held:
            return None
        if name == "release":
            (self.scene.root / "released").touch()
        return ("quarantine", name, str(self.chance.choice(held)), *WHY)

    def _start(self, name: str, arguments: tuple[str, ...]) -> tuple[subprocess.Popen[str], float | None]:
        """Start a command; return it, and after how long it is to be killed."""
        crash_at, moment_s = "", None
        dice = self.chance.random()
        if dice < 0.55 and name in PLACES:
            points = [point for point in POINTS if point.startswith(PLACES[name])]
            crash_at = f"{self.chance.choice(points)}:{self.chance.choice([1, 1, 2, 3, 5])}"
        elif dice < 0.7:
            moment_s = self.chance.uniform(0.3, 3.0)
        self.told.append(f"{' '.join(arguments)} [{crash_at or moment_s or ''}] {self.scene.turns}")
        return self.scene.start(*arguments, crash_at=crash_at), moment_s

    def _await(self, name: str, process: subprocess.Popen[str], moment_s: float | None) -> None:
        """Wait for the end of a command, or bring it about."""
        if moment_s is not None:
            try:
                process.wait(moment_s)
            except subprocess.TimeoutExpired:
                victims = [process.pid, *children(process.pid)]
                kill(self.chance.choice(victims))
        try:
            out, err = process.communicate(timeout=TIMEOUT_S)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, 9)
            out, err = process.communicate()
            raise AssertionError(self._story(f"{name} hangs:\n{out[-3000:]}\n{err[-3000:]}")) from None
        self.told.append(f"  {name}: {process.returncode} {' / '.join(err.strip().splitlines()[-2:])}")
        assert process.returncode in {0, 1, 2, KILLED}, self._story(f"{name}:\n{out[-3000:]}\n{err[-3000:]}")
        assert "bug in Headgate" not in err, self._story(err)
        assert "Traceback" not in err, self._story(err)
        if name == "verify":
            assert process.returncode in {0, KILLED}, self._story(f"verify:\n{out}\n{err}")

    def _look(self) -> None:
        """Assert that the state is sound, also right after a kill, and remember what readers see of it."""
        store = self.scene.opened()
        try:
            # Attempts whose coordinator was killed are mended by the next one.
            problems = [problem for problem in store.check() if "no coordinator" not in problem]
            assert not problems, self._story(f"state: {problems}")
        finally:
            store.close()
        self.seen.append((now_ms(), self.scene.contents()))
        while now_ms() <= self.seen[-1][0]:
            time.sleep(0.001)

    def _assert_history(self) -> None:
        """Assert that what readers saw between the steps is what is told of it now."""
        store = self.scene.opened()
        try:
            for at_ms, contents in self.seen:
                told = {
                    (name, version.key): f"{version.content} {version.schema}"
                    for name in TABLES
                    for version, _ in store.heads_as_of(name, at_ms)
                }
                assert told == contents, self._story(f"as of {at_ms} there is another content")
        finally:
            store.close()

    def _quietly(self, *arguments: str, codes: frozenset[int] = frozenset({0})) -> None:
        self.told.append(" ".join(arguments))
        done = self.scene.call(*arguments)
        self.told.append(f"  {done.returncode} {' / '.join(done.stderr.strip().splitlines()[-2:])}")
        assert done.returncode in codes, self._story(f"{arguments}:\n{done.stdout[-4000:]}\n{done.stderr[-4000:]}")

    def _finish(self) -> None:
        """Bring all that is under way to an end, decide all that waits, and build everything with code that passes."""
        self._let_holds_part("resume", [])
        either = frozenset({0, 1})
        for run in self._runs():
            if run.state in {RunState.QUEUED, RunState.RUNNING, RunState.INTERRUPTED}:
                self._quietly("resume", run.id, codes=either)
        for run in self._runs():
            if run.state is RunState.STAGED:
                self._quietly("discard", run.id, *WHY)
        for rollback in self._held():
            self._quietly("resolve", rollback, *WHY)
        while (decision := self._decision("drop")) is not None:
            self._quietly(*decision)
        turn = max(self.scene.turns.values()) + 1
        turn += turn % 4 not in CLEAN
        self.scene.write(**dict.fromkeys(TABLES, turn))
        publish = ("--publish", "together") if self.is_consistent else ()
        self._quietly("backfill", "--yes", *publish, *WHY)
        self._quietly("mirror", "--once")

    def _assert_sound(self) -> None:
        """Assert that everything is there as it should be, and nothing else."""
        root, turns = self.scene.root, self.scene.turns
        for read in (together.read_by_python, together.read_by_sql, together.read_mirror):
            rows = read(root)
            wrong = [*wrong_in(rows, released=False), *self._old(rows, turns)]
            assert not wrong, self._story(f"{read.__name__}: {wrong}")
        assert not together.mixed(root), self._story("tables do not belong together")
        self._assert_history()
        self._assert_codes()
        self._quietly("check", "--state")
        self._quietly("verify", "--content", "--all-versions")
        self._quietly("vacuum", "--keep", "0", "--keep-versions", "0", "--yes", *WHY)
        self._assert_files()
        self._quietly("check", "--state")
        planned = self.scene.call("plan")
        assert "nothing to do" in planned.stdout, self._story(planned.stdout)

    @staticmethod
    def _old(rows: dict[str, list[together.Row]], turns: dict[str, int]) -> Iterator[str]:
        for name, found in rows.items():
            if {row["turn"] for row in found} != {turns[name]}:
                yield f"{name} is of turn {sorted({row['turn'] for row in found})} instead of {turns[name]}"
            if {row.get("of_turn", turns["events"]) for row in found} != {turns["events"]}:
                yield f"{name} is made of another turn than {turns['events']}"

    def _assert_codes(self) -> None:
        """Assert that a version was made by the code that its checkpoint names: one code has one turn."""
        import pyarrow.parquet as pq

        made: dict[tuple[str, str], set[int]] = {}
        store = self.scene.opened()
        try:
            for name in TABLES:
                for checkpoint in store.checkpoints(name):
                    version = store.version(checkpoint.version)
                    for file in version.files if version else ():
                        path = self.scene.data / file.path
                        if path.exists() and file.row_group is None:
                            turns = pq.ParquetFile(path).read(["turn"])["turn"].to_pylist()
                            made.setdefault((name, checkpoint.code), set()).update(turns)
        finally:
            store.close()
        several = {where: turns for where, turns in made.items() if len(turns) > 1}
        assert not several, self._story(f"one code has made several turns: {several}")

    def _assert_files(self) -> None:
        """Assert that what is needed is there, and nothing else."""
        store = self.scene.opened()
        try:
            kept = [one.version for name in store.datasets() for one in store.kept_versions(name)]
            needed = {file.path for version in kept for file in version.files if version.dataset in TABLES}
            # What mirrors have taken out of packs, as long as they need it.
            apart = {f"events/_mirror/v{version.id}.parquet" for version in kept} & store.needed_paths()
            left = (store.doomed(), store.running_attempts(), store.uncollected_attempts())
            assert left == ([], [], []), self._story(f"left: {left}")
        finally:
            store.close()
        there = {str(path.relative_to(self.scene.data)) for path in self.scene.data.rglob("*.parquet")}
        there = {path for path in there if "_delta_log" not in path}
        wrong = {"missing": sorted(needed - there), "left behind": sorted(there - needed - apart)}
        assert not any(wrong.values()), self._story(f"files: {wrong}")

    def _runs(self) -> list[Run]:
        store = self.scene.opened()
        try:
            return store.runs()
        finally:
            store.close()

    def _held(self) -> list[str]:
        store = self.scene.opened()
        try:
            return sorted({hold.run for hold in store.holds()})
        finally:
            store.close()

    def _reader(self, how: str) -> subprocess.Popen[str]:
        script = [sys.executable, together.__file__, str(self.scene.root), how, str(self.is_consistent).lower()]
        pipe = subprocess.PIPE
        return subprocess.Popen(script, stdin=pipe, stdout=pipe, stderr=pipe, text=True)

    def _ask_readers(self) -> None:
        for reader in self.readers:
            if reader.poll() is not None:
                out, err = reader.communicate()
                raise AssertionError(self._story(f"{reader.args!r} saw what is wrong: {out}{err[-4000:]}"))

    def _end_readers(self) -> list[str]:
        said = []
        for reader in self.readers:
            out, err = reader.communicate(timeout=TIMEOUT_S)
            said.append((out or err[-4000:]).strip())
        return said

    def _story(self, what: str) -> str:
        again = f"HEADGATE_TOGETHER_SEED={self.seed} python -m pytest tests/crash/test_together_random.py"
        return "\n".join([what, *self.told, f"again: {again}"])


@pytest.mark.parametrize("seed", SEEDS)
def test_everything_at_once_shows_no_read_anything_wrong(tmp_path: Path, seed: int) -> None:
    play = Play(Together(tmp_path / "project"), seed)
    play.run()
    # For those who want to see it: pytest -rP.
    print("\n".join(play.told))
