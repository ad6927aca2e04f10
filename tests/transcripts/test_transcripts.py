"""Events in, what follows out, as text: read a case in tests/transcripts/*.txt like a story.

A case begins with comments and what there is, one a line:

    class NAME PRIORITY [ceiling=SHARE] [slots=N] [floor=SHARE] [reserved=N] [weight=W] [window=FROM:TO:CEILING]
    pool NAME SLOTS [breaker=FAILURES:COOLDOWN_MS]
    total SLOTS
    run NAME [class=NAME] [owner=NAME] [priority=N] [limit=N] [overlap=join | overlap=queue]
    runs NAME NUMBER ...
    stage NAME TASKS [io] [skip] [yields] [pool=NAME:SLOTS,...] [limit=N] [typical=MS]
        [retry=ATTEMPTS:BACKOFF_MS[:SHARE:MIN]] [breaker=FAILURES:COOLDOWN_MS] [batch=TASKS]
        [UP:same | UP:before | UP:last3 | UP:all | UP:0,1/2/-] ...

Stages belong to the run above them, or to the runs NAME1, NAME2 ... of `runs`; without any there is one run. A run with
`overlap=` has the same partitions as those that live when it is submitted, in stages of the same name: it takes what
they make, or builds it after them. Windows are minutes of the day in UTC. `io` puts its attempts into the lane of async
functions, `skip` lets its tasks be skipped when nothing upstream has changed; the rest says what its tasks read of a
stage: the same position, the one before, the last three, all, or a list for each task. Unless a stage says otherwise a
task gets three attempts without waits between them.

Then come events, each after `>`, and below each what the scheduler does: states that tasks move to, effects after `!`,
and after `~` when it wants to be called back, if that is new. `offer LANE FREE [of=SLOTS] [depth=N]` offers slots
beside those that are taken; `failed[:CLASS]` fails attempts, for data unless it says why; `crash` forgets everything
but the ends of attempts and how breakers stand, and submits all runs again; `again RUN TASK...` submits a run that has
ended again, for the tasks named. Lines after `?` tell how many attempts of each run are running.

HEADGATE_REWRITE=1 writes what follows anew, for review with git diff.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from plays import Play

CASES = sorted(Path(__file__).parent.glob("*.txt"))
DECLARED = ("class ", "pool ", "total ", "run ", "runs ", "stage ")


def played(text: str) -> str:
    """Return a case with what follows each event as it is now."""
    lines = [line for line in text.splitlines() if not line.startswith("    ")]
    play = Play([line for line in lines if line.startswith(DECLARED)])
    out = []
    for line in lines:
        out.append(line)
        if line.startswith("> "):
            out += [f"    {told}" for told in play.act(line[2:].partition("#")[0])]
        elif line.startswith("?"):
            out.append(f"    {play.tally()}")
    return "\n".join(out) + "\n"


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.stem)
def test_transcript(case: Path) -> None:
    text = case.read_text()
    now = played(text)
    if os.environ.get("HEADGATE_REWRITE"):
        case.write_text(now)
    else:
        assert now == text


def test_there_are_transcripts() -> None:
    assert len(CASES) >= 28
