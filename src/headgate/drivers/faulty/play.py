"""One seed from beginning to end on a virtual clock: with faults until the scene heals, then until all has ended."""

from __future__ import annotations

from dataclasses import dataclass, field
from heapq import heappop, heappush
from typing import TYPE_CHECKING

from headgate.drivers.faulty.coordinator import Coordinator, Crashed
from headgate.drivers.faulty.draw import draw
from headgate.drivers.faulty.ledger import Ledger
from headgate.drivers.faulty.luck import Luck
from headgate.drivers.faulty.model_store import ModelStore
from headgate.drivers.faulty.scene import Change
from headgate.drivers.faulty.violation import Violation
from headgate.drivers.faulty.workers import Answer, Workers
from headgate.model.run import RunState

if TYPE_CHECKING:
    from collections import Counter

    from headgate.drivers.faulty.model_store import RunRow
    from headgate.drivers.faulty.scene import Scene

SLOW_COMMIT_MS = 2_000
SLOW_LOOK_MS = 300
RESTART_MS = 5_000
TURNS_AT_ONCE = 20
"""A coordinator that turns more often without time passing has nothing to do and does it for ever."""


@dataclass(frozen=True, slots=True)
class Result:
    """What came of a seed.

    Args:
        seed: Which.
        failure: What must not be and was; empty if all held.
        seen: Rare branches that were taken, and how often.
        transcript: Everything that happened, if that was asked for.
        turns: Turns of coordinators.
        took_ms: Virtual time.
    """

    seed: int
    failure: str
    seen: Counter[str]
    transcript: list[str] = field(default_factory=list)
    turns: int = 0
    took_ms: int = 0


def play(seed: int, *, with_transcript: bool = False) -> Result:
    """Play a seed."""
    world = World(draw(seed), with_transcript=with_transcript)
    failure = ""
    try:
        world.run()
    except Exception as found:
        failure = f"{type(found).__name__}: {found}"
        world.say(failure)
    return Result(seed, failure, world.luck.seen, world.transcript, world.turns, world.now_ms)


class World:
    """Time, people and workers around one coordinator after another.

    Args:
        scene: What was drawn.
        with_transcript: Whether to write down what happens.
    """

    def __init__(self, scene: Scene, *, with_transcript: bool = False) -> None:
        self.scene = scene
        self.luck = Luck(scene)
        self.transcript: list[str] = []
        self._is_told = with_transcript
        self.now_ms = 0
        self.turns = 0
        self._offset_ms = scene.begins_ms
        self._agenda: list[tuple[int, int, Answer | Change]] = []
        self._booked = 0
        self._inbox: list[Answer] = []
        self._asked = 0
        self._has_asked = False
        self._bound_ms = self._most_turns = 0
        self._busy_until_ms = 0
        self.store = ModelStore({partition: n + 1 for n, partition in enumerate(sorted(scene.heads))})
        self.workers = Workers(scene, self.luck, self._book)
        self.ledger = Ledger(scene, self.store)
        self.coordinator: Coordinator | None = None

    def say(self, *words: object) -> None:
        """Add a line to the transcript."""
        if self._is_told:
            self.transcript.append(f"{self.now_ms:>8} {' '.join(map(str, words))}")

    def run(self) -> None:
        """Play to the end. Raises what was found."""
        scene = self.scene
        for request in scene.requests.values():
            self._book(request.at_ms, Change(request.at_ms, "submit", request.run))
        for change in scene.changes:
            self._book(change.at_ms, change)
        self._book(scene.heals_ms, Change(scene.heals_ms, "heal", ""))
        self._book(0, Change(0, "start", ""))
        while not self._is_over():
            self.now_ms = self._next_ms()
            while self._agenda and self._agenda[0][0] <= self.now_ms:
                self._happen(heappop(self._agenda)[2])
            self._turn_while_due()
        if self.coordinator is not None:
            self.coordinator.watch.at_end()
        self.ledger.at_end()

    def _is_over(self) -> bool:
        if not self.luck.has_healed:
            return False
        runs = self.store.runs
        left = [run for run in self.scene.requests if run not in runs or runs[run].state in _UNENDED]
        late_ms = self.now_ms - self.scene.heals_ms - self._bound_ms
        if left and (late_ms > 0 or self.turns > self._most_turns):
            raise Violation(f"nothing goes wrong any more, and {left} do not end: {self.turns} turns")
        return not left and not self.workers.jobs and not self.store.requests

    def _book(self, after_ms: int, what: Answer | Change) -> None:
        self._booked += 1
        heappush(self._agenda, (self.now_ms + after_ms, self._booked, what))

    def _next_ms(self) -> int:
        """Return when something happens next: on the agenda, or since the coordinator wants to be called."""
        times = [self._agenda[0][0]] if self._agenda else []
        if self.coordinator is not None:
            if self.coordinator.wake_at_ms is not None:
                times.append(max(self.coordinator.wake_at_ms - self._offset_ms, self._busy_until_ms))
            if self._has_work():
                times.append(self._busy_until_ms)
        if not times:
            raise Violation("nothing will ever happen again, and not all runs have ended")
        return max(self.now_ms, min(times))

    def _wall_ms(self) -> int:
        return self.now_ms + self._offset_ms

    def _tick(self) -> int:
        """Return the wall clock to the coordinator; between two looks at it time may have passed."""
        if self.luck.strikes("turn slow"):
            self.now_ms += self.luck.random.randrange(SLOW_LOOK_MS)
        return self._wall_ms()

    def _has_work(self) -> bool:
        return bool(self._inbox) or any(change.verb != "cancel" for change in self.store.requests.values())

    def _is_due(self) -> bool:
        if self.coordinator is None or self.now_ms < self._busy_until_ms:
            return False
        wake_at_ms = self.coordinator.wake_at_ms
        return self._has_work() or self._has_asked or (wake_at_ms is not None and wake_at_ms <= self._wall_ms())

    def _turn_while_due(self) -> None:
        for _ in range(TURNS_AT_ONCE):
            if not self._is_due():
                return
            self._turn()
        raise Violation("the coordinator turns and turns, and no time passes")

    def _turn(self) -> None:
        assert self.coordinator is not None
        answers, self._inbox, self._has_asked = self._inbox, [], False
        self.turns += 1
        self.say("turn", self.turns)
        try:
            self.coordinator.turn(answers)
        except Crashed:
            self._crash(answers)
            return
        finally:
            self.ledger.after_turn()
        if self.luck.has_healed and any(
            row.state in _UNENDED and self._is_held(row) for row in self.store.runs.values()
        ):
            self._put_right()  # It was told to drain, or taken up again as it was.
        if self.luck.strikes("commit slow"):
            self._busy_until_ms = self.now_ms + self.luck.random.randrange(SLOW_COMMIT_MS)

    @staticmethod
    def _is_held(row: RunRow) -> bool:
        return row.state is RunState.INTERRUPTED or (row.state is RunState.RUNNING and row.is_paused)

    def _happen(self, what: Answer | Change) -> None:
        if isinstance(what, Answer):
            if self.workers.delivers(what):
                self._inbox.append(what)
            return
        match what.verb:
            case "start":
                self._start()
            case "crash":
                if self.coordinator is not None and not self.luck.has_healed:
                    self.luck.note("crash at any moment")
                    self._crash([])
            case "clock":
                self.luck.note(f"clock set {'back' if what.value < 0 else 'forward'}")
                self._offset_ms += what.value
                self.say("the clock is set by", what.value)
            case "heal":
                self._heal()
            case _:
                self._ask(what)

    def _ask(self, change: Change) -> None:
        """Leave a request in the state store, as another process does."""
        self._asked += 1
        self.store.requests[self._asked] = change
        self._has_asked = True
        self.say("asked:", change.verb, change.target, change.value)

    def _start(self) -> None:
        """Let a new coordinator take over."""
        if self.coordinator is not None:
            return
        self.say("a coordinator takes over")
        self.workers.restart()
        try:
            self.coordinator = Coordinator(
                self.scene, self.store, self.workers, self.luck, wall_ms=self._tick, say=self.say
            )
        except Crashed:
            self._book(RESTART_MS, Change(0, "start", ""))
        else:
            self._has_asked = True
            if self.luck.has_healed:
                self._put_right()

    def _crash(self, answers: list[Answer]) -> None:
        """Forget all that the coordinator knew; what it was just told may be told again."""
        self.say("the coordinator is dead")
        self.coordinator = None
        self._busy_until_ms = 0
        self._inbox = [answer for answer in [*answers, *self._inbox] if self.luck.random.random() < 0.5]
        self._book(self.luck.random.randrange(RESTART_MS), Change(0, "start", ""))

    def _heal(self) -> None:
        """Let nothing go wrong from here on, and take back what people did that keeps work from ending."""
        self.say("nothing goes wrong any more")
        self.luck.has_healed = True
        back_ms = max(0, -min(change.value for change in [*self.scene.changes, Change(0, "", "")]))
        self._bound_ms = self.scene.bound_ms() + back_ms * len(self.scene.changes) + RESTART_MS
        self._most_turns = self.turns + 20 * self.scene.attempts() + 200
        if self.coordinator is None:
            self._start()
        else:
            self._put_right()

    def _put_right(self) -> None:
        runs = self.store.runs
        for name, pool in self.scene.pools.items():
            self._ask(Change(0, "resize", name, pool.slots))
        for run in self.scene.requests:
            if run not in runs:
                self._ask(Change(0, "submit", run))
            elif runs[run].state in _UNENDED:
                self._ask(Change(0, "resume", run))
                self._ask(Change(0, "continue", run))


_UNENDED = frozenset({RunState.RUNNING, RunState.INTERRUPTED})
