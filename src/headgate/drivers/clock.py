"""The wall clock, for records."""

from __future__ import annotations

import time


def now_ms() -> int:
    """Return the wall clock as UTC milliseconds; used for records, never for durations."""
    return time.time_ns() // 1_000_000
