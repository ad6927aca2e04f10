"""Seeded attacks on the scheduler: thousands of small worlds in which things go wrong."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from headgate.drivers.faulty.coordinator import Coordinator
from headgate.drivers.faulty.luck import RARE
from headgate.drivers.faulty.play import play
from headgate.drivers.faulty.sweep import ENOUGH, Sweep, sweep


def test_a_few_seeds_hold():
    assert sweep(5_000, 12).complaints() == []


@pytest.mark.slow
def test_two_thousand_seeds_hold_and_reach_every_rare_branch():
    total = sweep(0, ENOUGH, jobs=os.cpu_count() or 1)
    assert total.count == ENOUGH
    assert total.complaints() == []


def test_whatever_breaks_a_play_is_told_of_its_seed(monkeypatch):
    def broken(coordinator, answers):
        raise StopIteration("so")

    monkeypatch.setattr(Coordinator, "turn", broken)
    total = sweep(0, 3)
    assert (total.count, total.failures) == (3, dict.fromkeys(range(3), "StopIteration: so"))


def test_a_failed_seed_is_told_with_the_command_that_replays_it():
    total = Sweep(3, {17: "Violation: so"}, 2)
    assert total.complaints() == [
        "seed 17: Violation: so\n  replay: python -m headgate.drivers.faulty 17",
        "and 1 more",
    ]


def test_a_large_sweep_that_missed_a_rare_branch_fails():
    total = Sweep(ENOUGH)
    total.seen.update(RARE[1:])
    assert total.complaints() == [f"no seed reached: {RARE[0]}"]


def test_what_is_noted_is_listed():
    assert not sweep(0, 20).seen.keys() - set(RARE)


def test_a_transcript_changes_nothing():
    bare, told = play(3), play(3, with_transcript=True)
    assert (bare.failure, bare.seen, bare.turns, bare.took_ms) == (told.failure, told.seen, told.turns, told.took_ms)
    assert len(told.transcript) > 20


@pytest.mark.slow
def test_a_seed_is_the_same_story_whatever_the_seed_of_hashing():
    script = (
        "from headgate.drivers.faulty.play import play\n"
        "for seed in range(40): print('\\n'.join(play(seed, with_transcript=True).transcript))"
    )
    told = [
        subprocess.run(
            [sys.executable, "-c", script], env={**os.environ, "PYTHONHASHSEED": seed}, capture_output=True, check=True
        ).stdout
        for seed in ("1", "2")
    ]
    assert told[0] == told[1]
    assert len(told[0]) > 100_000


def test_the_command_prints_the_whole_story():
    ran = subprocess.run(
        [sys.executable, "-m", "headgate.drivers.faulty", "7"], capture_output=True, text=True, check=True
    )
    assert ran.stdout.splitlines() == [*play(7, with_transcript=True).transcript, "seed 7: all held"]
