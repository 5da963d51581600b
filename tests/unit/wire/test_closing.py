"""Consumers are closed in bounded time, and take nobody with them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from streams.wire.closing import close_consumer


class Stopping:
    def __init__(self, how: Callable[[], Awaitable[None]]) -> None:
        self.stop = how


async def _cancelled() -> None:
    raise asyncio.CancelledError  # as aiokafka passes it on from a task of its own


async def _fails() -> None:
    raise OSError("closed")


async def _hangs() -> None:
    await asyncio.Event().wait()


@pytest.mark.parametrize("how", [_cancelled, _fails, _hangs])
async def test_who_closes_goes_on(how: Callable[[], Awaitable[None]]) -> None:
    consumer: Any = Stopping(how)
    await close_consumer(consumer, timeout_s=0.01)


async def test_who_is_cancelled_ends() -> None:
    consumer: Any = Stopping(_hangs)
    closing = asyncio.create_task(close_consumer(consumer, timeout_s=60))
    await asyncio.sleep(0)
    closing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await closing
