"""Consumers, closed in bounded time whatever state they are in."""

from __future__ import annotations

import asyncio
from typing import Final

from aiokafka import AIOKafkaConsumer

CLOSE_S: Final = 2.0


async def close_consumer(consumer: AIOKafkaConsumer, timeout_s: float = CLOSE_S) -> None:
    """Disconnect, for so long; what goes wrong with it is nobody's business any more.

    In an outage aiokafka passes on that it has cancelled tasks of its own. Awaited here, that would
    look as if we were cancelled ourselves, and end whoever closes.
    """
    stopping = asyncio.ensure_future(consumer.stop())
    try:
        await asyncio.wait((stopping,), timeout=timeout_s)
    finally:
        if stopping.done() and not stopping.cancelled():
            stopping.exception()  # looked at, so that nobody is told
        stopping.cancel()
