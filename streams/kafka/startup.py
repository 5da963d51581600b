"""What happens before Faust starts: wait for the broker, then create and check the topics."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence

from streams.errors import BrokerUnavailable
from streams.wire.admin import apply_topics, open_admin
from streams.wire.topics import TopicSpec

logger = logging.getLogger(__name__)

PAUSES = (0.5, 1, 2, 5, 10)  # seconds between tries, the last one repeated
SAY_EVERY = 60.0  # seconds


async def prepare_topics(bootstrap: str, wanted: Sequence[TopicSpec]) -> None:
    """Create and check all topics; waits for a broker that is down, and says so once a minute.

    Raises:
        TopicMismatch: a topic exists and is not what the engine needs; the message has the remedy.
    """
    loop = asyncio.get_running_loop()
    said: float | None = None
    tries = 0
    while True:
        try:
            async with open_admin(bootstrap) as admin:
                await apply_topics(admin, wanted)
            return
        except BrokerUnavailable as error:
            if said is None or loop.time() - said >= SAY_EVERY:
                logger.warning("waiting for the broker at %s: %s", bootstrap, error)
                said = loop.time()
            await asyncio.sleep(PAUSES[min(tries, len(PAUSES) - 1)])
            tries += 1
