"""What happens before Faust starts: wait for the broker, then create and check the topics."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from aiokafka.errors import KafkaError

from streams.errors import BrokerUnavailable, TopicMismatch
from streams.wire.admin import apply_topics, open_admin
from streams.wire.topics import TopicSpec

logger = logging.getLogger(__name__)

PAUSES = (0.5, 1, 2, 5, 10)  # seconds between tries, the last one repeated
SAY_EVERY = 60.0  # seconds
FAILED = 1  # exit code: what it needs is not there; starting it again may help
MISCONFIGURED = 2  # exit code: settings, handlers or topics have to be corrected first


async def prepare_topics(bootstrap: str, wanted: Sequence[TopicSpec]) -> None:
    """Create and check all topics; waits for a broker that is down, and says so once a minute.

    Raises:
        SystemExit: a topic is not what the engine needs, and the log has the remedy. Another start
            changes nothing, hence another exit code than a crash has.
    """
    loop = asyncio.get_running_loop()
    said: float | None = None
    tries = 0
    while True:
        try:
            with _aiokafka_silenced():
                async with open_admin(bootstrap) as admin:
                    await apply_topics(admin, wanted)
            return
        except TopicMismatch as error:
            logger.critical("the topics are not as this worker needs them:\n%s", error)
            # Faust would tell any other exception as a trace of its own.
            raise SystemExit(MISCONFIGURED) from None
        except (BrokerUnavailable, KafkaError) as error:
            if isinstance(error, KafkaError) and not error.retriable:
                raise
            if said is None or loop.time() - said >= SAY_EVERY:
                logger.warning("waiting for the broker at %s: %s", bootstrap, error)
                said = loop.time()
            await asyncio.sleep(PAUSES[min(tries, len(PAUSES) - 1)])
            tries += 1


@contextmanager
def _aiokafka_silenced() -> Iterator[None]:
    """Without the line that aiokafka logs at each try: what fails is told here, once a minute."""
    library = logging.getLogger("aiokafka")
    level = library.level
    library.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        library.setLevel(level)
