"""A broker that goes away: what the log raises is what its callers try again after."""

from __future__ import annotations

from pathlib import Path

import pytest
from topics import create_topics

from streams.dev.broker import LocalBroker
from streams.errors import AppendFailed
from streams.kafka.log import KafkaLog
from streams.wire.topics import TopicNames
from streams.worker.ports import Append


async def test_a_log_whose_broker_is_gone_raises_what_is_tried_again(
    prefix: str, tmp_path: Path
) -> None:
    topic = TopicNames(prefix).ledger("default")
    with LocalBroker(tmp_path / "broker", heap="256m") as broker:
        await create_topics(broker.bootstrap, prefix)
        log = KafkaLog(broker.bootstrap, "test", {"request_timeout_ms": 1_000})
        await log.start()
        try:
            await log.append([Append(topic, 0, b"k", b"v")])
            assert [r.value async for batch in log.read(topic, 0, 0) for r in batch] == [b"v"]
            broker.kill()
            # Trimming, inspections and standbys would end the worker for any other error.
            with pytest.raises(OSError, match="Kafka"):
                await log.end(topic, 0)
            with pytest.raises(OSError, match="Kafka"):
                await log.offset_at(topic, 0, 0)
            with pytest.raises(OSError, match="Kafka"):
                _ = [batch async for batch in log.read(topic, 0, 0)]
            for _ in range(2):  # the first try to connect leaves nothing behind
                with pytest.raises(AppendFailed):
                    await log.trim(topic, 0, 1)
        finally:
            await log.stop()
