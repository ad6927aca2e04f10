from __future__ import annotations

import select

from headgate.executors.wake import WakePipe


def test_rings_until_drained() -> None:
    wake = WakePipe()
    assert select.select([wake], [], [], 0)[0] == []
    wake.ring()
    wake.ring()
    assert select.select([wake], [], [], 0)[0] == [wake]
    assert wake.drain()
    assert not wake.drain()
    wake.close()


def test_ringing_never_blocks_and_never_fails() -> None:
    wake = WakePipe()
    for _ in range(100_000):
        wake.ring()
    assert wake.drain()
    wake.close()
    wake.close()
    wake.ring()
