"""What happens to jobs, as other processes see it: each change of state, as it is written."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition
from aiokafka.errors import KafkaError

from streams.errors import BrokerUnavailable, TopicMismatch, UndecodableRecord
from streams.jobs.notes import Progress
from streams.jobs.states import State
from streams.values import immutable
from streams.wire.admin import open_admin
from streams.wire.closing import close_consumer
from streams.wire.state import OpenEntry, decode_ledger, decode_open
from streams.wire.topics import TopicNames

__all__ = ["Change", "Wanted", "watch_changes"]

_POLL_MS: Final = 200


@immutable(frozen=True, slots=True, kw_only=True)
class Change:
    """A job is in a state since `at`, milliseconds since the epoch."""

    at: int
    queue: str
    name: str
    id: str
    key: str | None  # with its scope
    state: State
    generation: int
    attempt: int  # how many were used up
    due: int | None = None  # when it starts again, where that is known
    error: str | None = None  # why it failed last, or was ended
    progress: Progress | None = None  # as its handler told it last


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Which jobs and states are of interest; None: any."""

    ids: Collection[str] | None = None
    names: Collection[str] | None = None
    states: Collection[State] | None = None

    def matches(self, change: Change) -> bool:
        """Whether somebody wants to know it."""
        return (
            (self.ids is None or change.id in self.ids)
            and (self.names is None or change.name in self.names)
            and (self.states is None or change.state in self.states)
        )


async def watch_changes(
    bootstrap: str | list[str],
    topics: TopicNames,
    wanted: Wanted,
    *,
    queues: Sequence[str] | None,
    since: int | None,
    timeout_ms: int,
    kafka: Mapping[str, Any],
) -> AsyncGenerator[Change, None]:
    """Each change of the queues (None: all that there are), from `since` or from now on, for ever.

    Changes of one job come in order; a change may come twice.

    Raises:
        BrokerUnavailable: no broker answered within `timeout_ms`.
        TopicMismatch: there is no such queue.
    """
    consumer = AIOKafkaConsumer(
        bootstrap_servers=bootstrap,
        group_id=None,
        enable_auto_commit=False,
        isolation_level="read_committed",
        fetch_max_wait_ms=_POLL_MS,
        request_timeout_ms=max(1_000, timeout_ms),
        **kafka,
    )
    try:
        try:
            async with asyncio.timeout(timeout_ms / 1000):
                async with open_admin(bootstrap, timeout_ms=timeout_ms, kafka=kafka) as admin:
                    existing = {
                        topic["topic"]: len(topic["partitions"])
                        for topic in await admin.describe_topics()
                        if topic["error_code"] == 0
                    }
                watched = _watched(existing, topics, queues)
                await consumer.start()
                await _begin(
                    consumer,
                    [
                        TopicPartition(topic, partition)
                        for topic in watched
                        for partition in range(existing[topic])
                    ],
                    since,
                )
        except (TimeoutError, KafkaError, OSError) as error:
            why = str(error) or "no answer"
            raise BrokerUnavailable(
                f"Kafka at {bootstrap} did not answer within {timeout_ms} ms: {why}"
            ) from error
        while True:
            batches = await consumer.getmany(timeout_ms=_POLL_MS)
            records = [record for batch in batches.values() for record in batch]
            # An entry is written before the ledger record that ends it, in another topic.
            for record in sorted(records, key=lambda record: record.timestamp):
                change = change_of(record, *watched[record.topic])
                if change is not None and wanted.matches(change):
                    yield change
    finally:
        await close_consumer(consumer)


def _watched(
    existing: Collection[str], topics: TopicNames, queues: Sequence[str] | None
) -> dict[str, tuple[str, bool]]:
    """The queue of each topic to read, and whether it is a ledger."""
    if queues is None:
        start, end = topics.ledger("|").split("|")
        queues = sorted(
            topic[len(start) : -len(end)]
            for topic in existing
            if topic.startswith(start) and topic.endswith(end)
        )
    watched = {}
    for queue in queues:
        watched[topics.retry(queue)] = (queue, False)
        watched[topics.ledger(queue)] = (queue, True)
    if not watched:
        raise TopicMismatch("there are no queues to watch: create them with `streams topics apply`")
    if missing := sorted(watched.keys() - set(existing)):
        raise TopicMismatch(
            f"there is no topic {missing[0]}: is the queue {watched[missing[0]][0]!r} right, and "
            "the prefix? `streams topics plan` says what is there"
        )
    return watched


async def _begin(
    consumer: AIOKafkaConsumer, partitions: list[TopicPartition], since: int | None
) -> None:
    ends = await consumer.end_offsets(partitions)
    found = (
        {} if since is None else await consumer.offsets_for_times(dict.fromkeys(partitions, since))
    )
    # Without an await between the two: a new assignment is otherwise set to the end.
    consumer.assign(partitions)
    for tp, end in ends.items():
        start = found.get(tp)
        consumer.seek(tp, end if start is None else start.offset)


def change_of(record: ConsumerRecord, queue: str, is_ledger: bool) -> Change | None:
    """The change that a record of a state topic tells; None if it tells none."""
    key: bytes | None = record.key
    value: bytes | None = record.value
    if key is None or value is None or key.startswith(b"#"):
        return None
    try:
        state = decode_ledger(key, value) if is_ledger else decode_open(key, value)
    except UndecodableRecord:  # of a later version
        return None
    failure = state.failure
    return Change(
        at=record.timestamp,
        queue=queue,
        name=state.job.name,
        id=state.job.id,
        key=state.job.ordering_key,
        state=state.told if isinstance(state, OpenEntry) else state.state,
        generation=state.generation,
        attempt=state.attempts,
        due=getattr(state, "due", None),
        error=f"{failure.type}: {failure.message}" if failure else state.reason or None,
        progress=None if state.notes is None else state.notes.progress,
    )
