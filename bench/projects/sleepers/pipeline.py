"""Two thousand async functions that wait for a second, as for the answer of a service."""

from __future__ import annotations

from asyncio import sleep

import headgate as hg


@hg.dataset(partitions=hg.static(f"{number}" for number in range(20)))
async def warm_up() -> None:
    """Start the worker."""


@hg.dataset(partitions=hg.static(f"{number}" for number in range(2000)))
async def sleepers() -> None:
    await sleep(1)
