"""How long a failed task waits before its next attempt.

Full jitter, so that tasks which failed together do not come back together; drawn from a hash, so that a replay waits
just as long.

Source: M. Brooker, Exponential Backoff And Jitter (AWS Architecture Blog, 2015).
"""

from __future__ import annotations

from hashlib import blake2b
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from headgate.model.policy import RetryPolicy


def backoff_ms(policy: RetryPolicy, run: str, task: int, tries: int) -> int:
    """Return the wait after the `tries`-th attempt of a task: from 0 to a bound that doubles with each try.

    Args:
        policy: Its numbers.
        run: Run id.
        task: The task.
        tries: Attempts so far, at least 1.
    """
    # Beyond 2**40 times the base every cap has been reached, and the shift stays small.
    bound = min(policy.backoff_max_ms, policy.backoff_ms << min(tries - 1, 40))
    drawn = int.from_bytes(blake2b(f"{run}\0{task}\0{tries}".encode(), digest_size=8).digest(), "little")
    return drawn * (bound + 1) >> 64
