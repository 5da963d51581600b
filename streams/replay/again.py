"""Old events as real jobs once more: of a replay with a name, in a queue of their own."""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from collections.abc import AsyncIterable, Callable, Iterable
from dataclasses import dataclass, field, replace
from typing import Final

from streams.errors import TopicMismatch
from streams.jobs.identity import read_state_key
from streams.replay.chosen import EventWithJobs
from streams.replay.pace import Pace
from streams.wire import headers as h
from streams.wire.actions import OperatorAction
from streams.wire.envelope import Envelope, encode
from streams.wire.partition import partition_of
from streams.wire.producer import Sent, close_producer, open_producer, send_all
from streams.wire.reader import open_reader, partition_counts
from streams.wire.topics import MAX_JOB_BYTES, TopicNames

_TOGETHER: Final = 500  # sent, before it is awaited that they are durable
_WITHIN: Final = 0.1  # seconds that the first of these waits


WHAT: Final = "history replay"
"""As what a replay is written down."""
_REASON: Final = "run {} in the queue {}"
_TOLD: Final = re.compile(_REASON.format(r"(\S+)", r"(\S+)"))


@dataclass(slots=True)
class SentAgain:
    """How far a replay is."""

    sent: Counter[str] = field(default_factory=Counter)  # jobs by their names
    there: int = 0  # they were sent before, by the same replay
    too_large: int = 0  # for a queue, with what a replay adds


class Again:
    """What a replay makes of the jobs of events.

    Ids follow from the event, the handler and the replay: a replay that is repeated sends the same
    jobs, which are known and dropped; no other job has such an id. The time is the event's, as it
    is a part of what makes a job the same.
    """

    def __init__(self, run: str, queue: str) -> None:
        self.run = run
        self._queue = queue

    def job(self, job: Envelope) -> Envelope:
        """The job as this replay sends it."""
        return replace(
            job,
            id=f"{job.id}{self.ending}",
            queue=self._queue,
            extensions={**job.extensions, h.REPLAY: self.run},
        )

    @property
    def ending(self) -> str:
        """With which the ids of its jobs end."""
        return f":{self.run}"


def reason_of(run: str, queue: str) -> str:
    """What is written down of a replay, beside what it was asked for."""
    return _REASON.format(run, queue)


def other_runs(
    acts: Iterable[OperatorAction], run: str, queue: str, told: str
) -> tuple[list[str], list[str]]:
    """Other queues to which a replay with this name went, and what else it was asked for.

    The newest ones first. `told`: what it is asked for now.
    """
    elsewhere: dict[str, None] = {}
    otherwise: dict[str, None] = {}
    for act in acts:
        found = _TOLD.fullmatch(act.reason) if act.what == WHAT else None
        if found is None or found[1] != run:
            continue
        if found[2] != queue and act.counts.get("sent", 1):  # one that was cut off says no number
            elsewhere[found[2]] = None
        if act.on != told:
            otherwise[act.on] = None
    return list(elsewhere), list(otherwise)


async def send_again(
    bootstrap: str,
    names: TopicNames,
    queue: str,
    again: Again,
    chosen: AsyncIterable[EventWithJobs],
    *,
    there: frozenset[int],
    rate: float | None,
    so_far: SentAgain,
    told: Callable[[], None] = lambda: None,
) -> None:
    """Send the jobs of events, in their order; those with ids whose hashes are `there` are left.

    Raises:
        BrokerUnavailable: Kafka did not answer; once more, and it goes on with the rest.
        TopicMismatch: there is no such queue.
    """
    partitions = await queue_partitions(bootstrap, names, queue)
    topic = names.queue(queue)
    pace = Pace(rate)
    loop = asyncio.get_running_loop()
    together: list[tuple[str, Sent]] = []
    since = 0.0
    one_by_one = rate is not None and rate * _WITHIN < 1
    producer = await open_producer(bootstrap, "streams-history")

    async def flush() -> None:
        await send_all(producer, [sent for _, sent in together])
        so_far.sent.update(name for name, _ in together)
        together.clear()
        told()

    try:
        async for _, jobs in chosen:
            for _, original in jobs:
                job = again.job(original)
                if hash(job.id) in there:
                    so_far.there += 1
                    continue
                key, value, headers = encode(job)
                if len(value) + sum(len(text) for _, text in headers) > MAX_JOB_BYTES:
                    so_far.too_large += 1
                    continue
                await pace.turn()
                since = since if together else loop.time()
                sent = Sent(topic, partition_of(key, partitions), key, value, headers)
                together.append((job.name, sent))
                is_due = one_by_one or loop.time() - since >= _WITHIN
                if is_due or len(together) == _TOGETHER:
                    await flush()
        await flush()
    finally:
        await close_producer(producer)


async def queue_partitions(bootstrap: str, names: TopicNames, queue: str) -> int:
    """How many partitions the queue has.

    Raises:
        BrokerUnavailable: no broker answered.
        TopicMismatch: there is no such queue.
    """
    counts = await partition_counts(bootstrap, [names.queue(queue), names.ledger(queue)])
    if names.queue(queue) not in counts or names.ledger(queue) not in counts:
        raise TopicMismatch(
            f"there is no queue {queue!r} (topic {names.queue(queue)}): add it to STREAMS_QUEUES, "
            f"as in STREAMS_QUEUES=critical,default,bulk,{queue}, then `streams topics apply` "
            "creates it, and a worker with that setting serves it"
        )
    return counts[names.queue(queue)]


async def sent_before(
    bootstrap: str, names: TopicNames, queue: str, again: Again
) -> frozenset[int]:
    """The hashes of the ids of jobs that this replay has sent: in the queue still, open or over.

    Raises:
        BrokerUnavailable: the broker did not answer, or stopped answering.
    """
    topics = (names.queue(queue), names.retry(queue), names.ledger(queue))
    counts = await partition_counts(bootstrap, topics)
    found: set[int] = set()
    ending, in_key = again.ending.encode(), f'{again.ending}"]'.encode()
    async with open_reader(bootstrap, {topic: counts[topic] for topic in topics}) as reader:
        async for record in reader.to_end():
            if record.topic == topics[0]:
                id = next((v for name, v in record.headers if name == h.CE_ID), None)
                if id is not None and id.endswith(ending):
                    found.add(hash(id.decode(errors="replace")))
            elif record.key is not None and record.key.endswith(in_key):
                found.add(hash(read_state_key(record.key)[2]))
    return frozenset(found)
