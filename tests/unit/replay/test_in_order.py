"""Work side by side, and in the order of its lanes."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from streams.replay.in_order import InOrder


async def test_lanes_keep_their_order_and_go_side_by_side() -> None:
    work = InOrder(3)
    gates = {name: asyncio.Event() for name in ("a1", "b1")}
    done: list[str] = []

    def doing(name: str) -> Callable[[], Awaitable[None]]:
        async def do() -> None:
            if name in gates:
                await gates[name].wait()
            done.append(name)

        return do

    for name in ("a1", "a2", "b1", "b2", "c1"):
        await work.add(name[0], doing(name))
    await work.add(None, doing("free"))
    gates["b1"].set()
    for _ in range(20):
        await asyncio.sleep(0)
    assert sorted(done) == ["b1", "b2", "c1", "free"]
    assert done.index("b1") < done.index("b2")
    gates["a1"].set()
    await work.finish()
    assert done[4:] == ["a1", "a2"]


async def test_no_more_are_taken_than_can_wait() -> None:
    work = InOrder(1)
    gate = asyncio.Event()

    async def wait() -> None:
        await gate.wait()

    taken = 0
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            while True:
                await work.add(None, wait)
                taken += 1
    assert taken == 8
    await work.stop()


async def test_what_one_raises_ends_all() -> None:
    work = InOrder(2)

    async def fail() -> None:
        raise ValueError("no")

    await work.add(None, fail)
    with pytest.raises(ValueError, match="no"):
        await work.finish()
    with pytest.raises(ValueError, match="no"):
        await work.add(None, fail)
