"""A projection of what is there at one moment, made once and left."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from streams.errors import BrokerUnavailable
from streams.projection.batch import LEDGER, QUEUE, RETRY, Batch, Reader, roles_of
from streams.projection.file import now_ms, open_store
from streams.projection.kafka import ANSWER_S, POLL_MS, begins_of, ends_of, look, make_consumer
from streams.projection.progress import Partition
from streams.projection.store import Store
from streams.wire.closing import close_consumer
from streams.wire.topics import TopicNames

_AT_ONCE: Final = 4_000  # records in one transaction

Tell = Callable[[int, int], None]
"""Is told how many records were read, and of how many."""


async def snapshot(
    bootstrap: str,
    names: TopicNames,
    queues: Sequence[str],
    path: Path,
    *,
    tell: Tell = lambda read, of: None,
) -> None:
    """Put every job of these queues that is open or on record into a new file at `path`.

    Of a queue only what is not settled is read: of the rest its state says all, or nothing does.

    Raises:
        BrokerUnavailable: the broker did not answer, or stopped answering.
        TopicMismatch: there are no topics.
    """
    roles = {
        topic: role
        for topic, role in roles_of(names, queues).items()
        if role[1] in (QUEUE, RETRY, LEDGER)
    }
    cluster, partitions = await look(bootstrap, roles, {})
    store = open_store(path, f"{cluster} {names.prefix}", queues, now_ms())
    consumer = make_consumer(bootstrap, {})
    try:
        async with asyncio.timeout(ANSWER_S):
            await consumer.start()
        await _Snapshot(consumer, store, Reader(roles, {}), tell).take(
            [
                [
                    (t, n)
                    for t, (_, its) in roles.items()
                    for n in range(partitions.get(t, 0))
                    if its == source
                ]
                # A job goes from a queue to the retry topic, and from there to the ledger. What
                # moves meanwhile is seen in one of them, and as it was a moment ago at worst.
                for source in (RETRY, LEDGER, QUEUE)
            ],
            {names.queue(queue): queue for queue in queues},
        )
    except (TimeoutError, KafkaError) as error:
        raise BrokerUnavailable(
            f"Kafka at {bootstrap} could not be read: {str(error) or 'it stopped answering'}"
        ) from error
    finally:
        store.close()
        await close_consumer(consumer)


class _Snapshot:
    def __init__(
        self, consumer: AIOKafkaConsumer, store: Store, reader: Reader, tell: Tell
    ) -> None:
        self._consumer = consumer
        self._store = store
        self._reader = reader
        self._tell = tell
        self._read = 0
        self._of = 0

    async def take(self, parts: Sequence[Sequence[Partition]], queues: dict[str, str]) -> None:
        """Read the parts one after the other, each to its end as it is when it is begun."""
        every = [of for part in parts for of in part]
        self._consumer.assign([TopicPartition(*of) for of in every])
        begins = await begins_of(self._consumer, every)
        ends = await ends_of(self._consumer, every)
        self._of = sum(ends[of] - begins[of] for of in every)
        for part in parts:
            starts = {
                of: max(begins[of], self._store.commits.get((queues.get(of[0], ""), of[1]), 0))
                for of in part
            }
            self._read += sum(starts[of] - begins[of] for of in part)
            await self._take(starts)
        while await asyncio.to_thread(self._store.sweep, self._store.commits):
            pass

    async def _take(self, starts: dict[Partition, int]) -> None:
        consumer = self._consumer
        places = {of: TopicPartition(*of) for of in starts}
        consumer.assign(list(places.values()))
        for of, start in starts.items():
            consumer.seek(places[of], start)
        ends = await ends_of(consumer, starts)
        heard = time.monotonic()
        while True:
            # A position moves past what compaction has left, also without a record.
            left = [p for of, p in places.items() if await consumer.position(p) < ends[of]]
            if not left:
                return
            found = await consumer.getmany(*left, timeout_ms=POLL_MS, max_records=_AT_ONCE)
            if not found:
                if time.monotonic() - heard > ANSWER_S:
                    raise TimeoutError
                continue
            heard = time.monotonic()
            batch = Batch()
            for records in found.values():
                self._reader.read(records, batch)
            await asyncio.to_thread(self._store.apply, batch)
            self._read += batch.records
            self._tell(min(self._read, self._of), self._of)
