"""Keeps copies of other workers' partitions: taking one over does not start from nothing."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from streams.kafka.log import to_record
from streams.wire.closing import close_consumer
from streams.worker.ports import Clock, Log
from streams.worker.presence import Roster
from streams.worker.recovery import AT_ONCE, Recovery

logger = logging.getLogger(__name__)

REVIEW_MS = 2_000
RETRY_PAUSE = 1.0  # seconds

PlaceKey = tuple[str, int]


class Standbys:
    """One consumer without a group follows the roster and the state topics of what is copied."""

    def __init__(
        self,
        bootstrap: str,
        worker: str,
        workers_topic: str,
        roster: Roster,
        *,
        log: Log,
        clock: Clock,
        open_recovery: Callable[[str, int], Recovery],
        owned: Callable[[], Iterable[PlaceKey]],
        places: Iterable[PlaceKey],
    ) -> None:
        self._worker = worker
        self._roster = roster
        self._log = log
        self._clock = clock
        self._open_recovery = open_recovery
        self._owned = owned
        self._places = tuple(places)
        self._copies: dict[PlaceKey, Recovery] = {}
        self._positions: dict[TopicPartition, int] = {TopicPartition(workers_topic, 0): 0}
        self._workers_topic = workers_topic
        self._consumer = AIOKafkaConsumer(
            bootstrap_servers=bootstrap,
            client_id=f"{worker}-standby",
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            isolation_level="read_committed",
            fetch_max_wait_ms=200,
        )
        self._busy = asyncio.Lock()
        self._reviewed = 0

    async def run(self) -> None:
        """Follow until cancelled."""
        try:
            await self._consumer.start()
            self._reassign()
            while True:
                try:
                    await self._follow()
                except (KafkaError, OSError) as error:
                    logger.warning("following others' state failed: %s; trying again", error)
                    await asyncio.sleep(RETRY_PAUSE)
        finally:
            await close_consumer(self._consumer)
            for recovery in self._copies.values():
                recovery.tables.store.close()

    async def take(self, queue: str, partition: int) -> Recovery | None:
        """The copy of a partition that is becoming ours, if there is one."""
        async with self._busy:
            recovery = self._copies.pop((queue, partition), None)
            if recovery is not None:
                self._unfollow(recovery)
        return recovery

    def copied(self) -> list[PlaceKey]:
        """What is being copied."""
        return sorted(self._copies)

    async def _follow(self) -> None:
        batches = await self._consumer.getmany(timeout_ms=500, max_records=10_000)
        for place, records in batches.items():
            for at in range(0, len(records), AT_ONCE):
                async with self._busy:
                    self._apply(place, records[at : at + AT_ONCE])
                await asyncio.sleep(0)
        now = self._clock.now()
        if now >= self._reviewed + REVIEW_MS:
            self._reviewed = now
            await self._review()

    def _apply(self, place: TopicPartition, records: list[object]) -> None:
        if place not in self._positions:
            return  # taken meanwhile
        batch = [to_record(record) for record in records]
        self._positions[place] = batch[-1].offset + 1
        if place.topic == self._workers_topic:
            for record in batch:
                self._roster.apply(record.key, record.value, record.timestamp)
            return
        for recovery in self._copies.values():
            state = recovery.place
            if state.partition == place.partition and place.topic in (state.retry, state.ledger):
                recovery.apply(batch)

    async def _review(self) -> None:
        """Copy what is ours to copy by the roster, and nothing else."""
        async with self._busy:
            owned = set(self._owned())
            wanted = self._roster.standby_for(self._worker, self._places) - owned
            for place in set(self._copies) - wanted:
                recovery = self._copies.pop(place)
                self._unfollow(recovery)
                recovery.tables.store.close()
            for place in sorted(wanted - set(self._copies)):
                recovery = self._open_recovery(*place)
                await recovery.begin(self._log, self._clock.now())
                self._copies[place] = recovery
                state = recovery.place
                for topic in (state.retry, state.ledger):
                    start = recovery.tables.applied(topic)
                    self._positions[TopicPartition(topic, state.partition)] = start
                self._reassign()

    def _unfollow(self, recovery: Recovery) -> None:
        state = recovery.place
        for topic in (state.retry, state.ledger):
            self._positions.pop(TopicPartition(topic, state.partition), None)
        self._reassign()

    def _reassign(self) -> None:
        # `assign` forgets every position: say all of them again.
        self._consumer.assign(list(self._positions))
        for place, offset in self._positions.items():
            self._consumer.seek(place, offset)
