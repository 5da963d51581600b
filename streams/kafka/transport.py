"""Faust's transport with whole batches: what was fetched of a topic travels as one event.

What is urgent comes first: it is taken before anything else, and of others only so much at a time.

Two things of Faust's consumer are replaced. Its loop handles records one by one and drops a batch
whose partition was paused meanwhile (which loses it: the position has moved on); ours holds a
partition back between fetches, and `streams.kafka.reading` sees to it that what is dropped on its
way is read again. Its acks lose jobs when they come out of order; ours are the watermarks of the
engine.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Iterable, Mapping
from time import monotonic
from typing import Any

import aiokafka
from aiokafka.errors import IllegalStateError
from faust.transport.consumer import CONSUMER_FETCHING
from faust.transport.drivers import aiokafka as driver
from faust.types import TP
from mode.threads import WorkerThread

from streams.kafka.lease import Lease
from streams.kafka.reading import Batch, Reader, Reading
from streams.kafka.urgency import Urgency

FETCH_WAIT_MS = 50  # Faust's own 1500 would delay a partition that is released by as much
# What is urgent waits for the fetch that is under way, and for what it brought to be read. Where it
# is not to wait for others, these come in pieces of so many bytes, and of so many records.
PIECE_BYTES = 256 * 1024
PIECE = 2_000
HELD_BACK_WAIT = 0.02  # seconds, while every partition is held back
POLL = 0.1  # seconds: how soon a partition that was held back is asked for again
SHORT_POLL = 0.01  # seconds, while a part of what was fetched is still to be handed over
HANDED_OVER = 200  # records at a time
INTERVAL = sys.getswitchinterval()
HURRIED_INTERVAL = 0.0005  # seconds


class _LeftBehind(WorkerThread):
    """A thread that does not hold the end of its process.

    Without a broker aiokafka's group coordinator does not stop: it looks for its broker for ever.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.daemon = True


class BatchConsumerThread(driver.AIOKafkaConsumerThread):
    """The consumer's thread, with a fetch wait, an isolation level and a lease of our own."""

    Worker = _LeftBehind
    _urgent_is_next = True
    _is_hurried = False

    async def on_start(self) -> None:
        """Connect; the lease is watched before the consumer joins its group."""
        await super().on_start()
        self.consumer.lease.watch(self._consumer._coordinator)
        self._ask_for_urgent_first(self._consumer._fetcher)

    def _ask_for_urgent_first(self, fetcher: Any) -> None:
        """Of what a fetch may bring, the partitions that it names first have all they have."""
        actions_per_node, urgency = fetcher._get_actions_per_node, self.consumer.urgency

        def urgent_first(assignment: Any) -> Any:
            actions = actions_per_node(assignment)
            makes_way = urgency.makes_way(monotonic())
            for _, request in actions[0]:
                request.topics.sort(key=lambda topic: urgency.order(topic[0]))
                if makes_way:
                    request._max_bytes = PIECE_BYTES
            return actions

        fetcher._get_actions_per_node = urgent_first

    def _create_worker_consumer(self, transport: Any) -> aiokafka.AIOKafkaConsumer:
        consumer = super()._create_worker_consumer(transport)
        # Set before the consumer starts, which is when it builds its fetcher from these.
        consumer._fetch_max_wait_ms = FETCH_WAIT_MS
        consumer._isolation_level = "read_committed"
        return consumer

    async def _fetch_records(
        self,
        consumer: aiokafka.AIOKafkaConsumer,
        active_partitions: set[TP],
        timeout: float | None = None,
        max_records: int | None = None,
    ) -> Any:
        """Take what is urgent first, but not each time: others must get on as well."""
        urgency = self.consumer.urgency
        urgent = urgency.of(active_partitions) if self._urgent_is_next else set()
        self._urgent_is_next = urgent.isdisjoint(consumer._fetcher._records)
        if not self._urgent_is_next:
            active_partitions, timeout = urgent, 0
        most = PIECE if urgency.makes_way(monotonic()) else max_records
        taken = await super()._fetch_records(consumer, active_partitions, timeout, most)
        urgency.took(taken, monotonic())
        self._hurry(urgency.makes_way(monotonic()))
        return taken

    def _hurry(self, is_hurried: bool) -> None:
        """While the loop is busy, this thread has its turn only once in an interval."""
        if is_hurried != self._is_hurried:
            self._is_hurried = is_hurried
            sys.setswitchinterval(HURRIED_INTERVAL if is_hurried else INTERVAL)


class BatchConsumer(driver.Consumer):
    """Hands over whole batches, and commits the engine's watermarks."""

    readers: Callable[[], Mapping[TP, Reader]]  # of the partitions that are open
    watermark: Callable[[TP], int | None]
    watched: Callable[[], list[TP]]
    urgency: Urgency
    lease: Lease

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._reading: Reading[TP] = Reading()
        self._underway: set[TP] = set()  # of these a long batch is not handed over yet
        self._committing = asyncio.Lock()

    def read_again(self, tp: TP) -> None:
        """What was fetched of this partition did not arrive: go back to where its reader is."""
        self._reading.again([tp])

    def pieces(self, batch: Batch) -> Iterable[Batch]:
        """What of it is handed over at a time: others get on in between."""
        return batch.parts(HANDED_OVER) if self.urgency.makes_way(monotonic()) else (batch,)

    def handed_over(self, tp: TP) -> None:
        """What was fetched of this partition has arrived, or is to be read again."""
        self._underway.discard(tp)

    def resume_flow(self) -> None:
        """Faust has just emptied its buffers: what was in them is fetched again."""
        self._reading.again()
        self._underway.clear()
        super().resume_flow()

    def _new_consumer_thread(self) -> BatchConsumerThread:
        return BatchConsumerThread(self, loop=self.loop, beacon=self.beacon)

    async def _drain_messages(self, fetcher: Any) -> None:
        stopped = self._stopped.is_set
        fetcher_stopped = fetcher._stopped.is_set
        callback: Any = self.callback
        self._reading.again()  # whoever fetched before was cut off, perhaps with a batch in hand
        self._underway.clear()
        try:
            while not (stopped() or fetcher_stopped()):
                self.diag.set_flag(CONSUMER_FETCHING)
                await asyncio.sleep(0)
                if not self.flow_active:
                    await self.wait(self.can_resume_flow)
                    continue
                active = self._get_active_partitions()
                wanted = {
                    tp: reader
                    for tp, reader in self.readers().items()
                    if tp in active and tp not in self._underway and reader.wants_more
                }
                if not wanted or not await self._seek_for(wanted):
                    self._show_life()
                    await asyncio.sleep(HELD_BACK_WAIT)
                    continue
                poll = SHORT_POLL if self._underway else POLL
                batches = await self._getmany(active_partitions=set(wanted), timeout=poll)
                for topic in self._by_topic(batches or {}):
                    if self.should_stop:
                        break
                    # Faust looks at its partition only to find who listens to the topic.
                    tp, batch = next(iter(topic.items()))
                    message = self._to_message(tp, batch.records[-1])
                    message.value = topic
                    message.key = None
                    # Before it is handed over: whoever takes it empties it.
                    read = {tp: batch.records[-1].offset for tp, batch in topic.items()}
                    self._underway.update(
                        tp for tp in topic if len(topic[tp].records) > HANDED_OVER
                    )
                    await callback(message)
                    self._read_offset.update(read)
        except self.consumer_stopped_errors:
            if not self.transport.app.should_stop:
                raise
        except asyncio.CancelledError:
            if not self.transport.app.should_stop:
                raise
        finally:
            self.diag.unset_flag(CONSUMER_FETCHING)

    def _by_topic(self, fetched: Mapping[TP, list[Any]]) -> Iterable[dict[TP, Batch]]:
        """The batches of each topic: an event for each partition would cost more than they do."""
        topics: dict[str, dict[TP, Batch]] = {}
        for tp, records in fetched.items():
            batch = self._reading.fetched(tp, records)
            if batch is not None:
                topics.setdefault(tp.topic, {})[tp] = batch
        return topics.values()

    async def _seek_for(self, readers: Mapping[TP, Reader]) -> bool:
        """Put each partition where its reader begins; False if one is not ours any more."""
        positions = self._reading.to_seek(readers)
        if positions:
            try:
                await self.seek_wait(positions)
            except (IllegalStateError, AssertionError):  # a rebalance took it away meanwhile
                return False
            self._reading.sought(readers, positions)
        return True

    def _show_life(self) -> None:
        """A consumer that asks for nothing for long counts as stuck, and would leave the group."""
        with self._thread._consumer._subscription.fetch_context():
            pass

    async def commit_watermarks(self) -> None:
        """Commit what is acknowledged now; also while partitions are being revoked.

        One commit follows the other: the broker would take an older one that comes later, too.
        """
        async with self._committing:
            watched = self.watched()
            if not watched:  # perhaps it never started, and has no assignment to ask for
                return
            assigned = self.assignment()
            watermarks = {tp: self.watermark(tp) for tp in watched if tp in assigned}
            offsets = {
                tp: offset
                for tp, offset in watermarks.items()
                if offset is not None and self._should_commit(tp, offset)
            }
            if not offsets:  # aiokafka takes an empty commit for a mistake
                return
            # A rebalance that meets the end of this consumer commits through a thread that takes no
            # calls any more, and which ends when the rebalance has.
            committed = await self.wait(self._thread.commit(offsets))
            if committed.result:
                self._committed_offset.update(offsets)
                self.app.monitor.on_tp_commit(offsets)

    def committed(self, tp: TP) -> int | None:
        """What was committed of a partition; None: nothing, since it is ours."""
        offset: int | None = self._committed_offset.get(tp)
        return offset

    async def _commit_tps(self, tps: Iterable[TP], start_new_transaction: bool) -> bool:
        """Faust's periodic commit; its own looks at the offsets, waits, and then commits them."""
        await self.commit_watermarks()
        return True

    def _should_commit(self, tp: TP, offset: int) -> bool:
        committed = self._committed_offset[tp]
        # Never backwards, and 0 is an offset like any other.
        return offset > (committed or 0)


class BatchTransport(driver.Transport):
    """The transport whose consumer is ours."""

    Consumer = BatchConsumer
