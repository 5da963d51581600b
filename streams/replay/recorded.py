"""What became of jobs, as the topics of their queues tell: gathered in a file, however many.

The file is a temporary one, and forgotten with the command: state is in Kafka.
"""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import orjson

from streams.errors import UndecodableRecord
from streams.jobs.identity import read_state_key
from streams.jobs.states import State
from streams.replay.comparing import Account, Ended, Sent
from streams.wire import headers as h
from streams.wire.envelope import Envelope, Record, decode
from streams.wire.reader import Stretch, open_reader, partition_counts
from streams.wire.state import LedgerRecord, OpenEntry, decode_ledger, decode_open
from streams.wire.topics import TopicNames
from streams.worker.dead_hooks import UNKNOWN_JOB, WORKER_DIED

_SKEW_MS: Final = 60_000
_TOGETHER: Final = 2_000  # rows
NO_RECORD: Final = "no record of it is left"
_NEVER: Final = 2**63 - 1

_TABLES: Final = """
PRAGMA journal_mode = OFF;
PRAGMA synchronous = OFF;
CREATE TABLE state (
    id TEXT, topic TEXT, key BLOB, value BLOB, PRIMARY KEY (id, topic, key)
) WITHOUT ROWID;
CREATE TABLE sent (
    parent TEXT, topic TEXT, id TEXT, name TEXT, key TEXT, payload BLOB,
    PRIMARY KEY (parent, topic, name, id)
) WITHOUT ROWID;
"""


class Recorded:
    """Of jobs with some names, by their ids."""

    def __init__(
        self, file: Path, names: TopicNames, queues: Iterable[str], events: Iterable[str]
    ) -> None:
        queues, events = tuple(queues), tuple(events)
        self._db = sqlite3.connect(file, isolation_level=None)
        self._db.executescript(_TABLES)
        self._retries = {names.retry(queue) for queue in queues}
        self._ledgers = {names.ledger(queue) for queue in queues}
        self._senders: tuple[bytes, ...] = ()
        self._owners: tuple[bytes, ...] = ()
        self._names = names
        self._kept_since: dict[str, int] = {}  # by topic: from then on it has all that was sent
        self._queues = set(map(names.queue, queues))
        self.sent_topics = [*map(names.event, events), *sorted(self._queues)]
        # A job moves from the first ones to the last ones.
        self.state_topics = [*sorted(self._retries), *sorted(self._ledgers)]

    def close(self) -> None:
        """Forget all."""
        self._db.close()

    def look_for(self, jobs: Iterable[str]) -> None:
        """Note what is told of jobs with these names."""
        names = tuple(jobs)
        self._owners = tuple(orjson.dumps([name])[:-1] + b"," for name in names)
        self._senders = tuple(f"{name}:".encode() for name in names)

    def note_kept(
        self, sent: Sequence[Stretch], first: dict[tuple[str, int], int], trimmed: int
    ) -> None:
        """From when on topics have all that was sent to them.

        `first`: the time of the first record that was read of each partition. `trimmed`: what is
        removed from a queue is older than that; of the others nobody knows.
        """
        for each in sent:
            self._kept_since.setdefault(each.topic, 0)
            if 0 < each.begin == each.start:
                kept_since = first.get((each.topic, each.partition), _NEVER)
                if each.topic in self._queues:
                    kept_since = min(kept_since, trimmed)
                self._kept_since[each.topic] = max(self._kept_since[each.topic], kept_since)

    def take_state(self, records: Sequence[Record]) -> None:
        """Note what records of retry and ledger topics say."""
        rows = []
        for record in records:
            if record.key is None or not record.key.startswith(self._owners):
                continue
            try:
                _, _, id = read_state_key(record.key)
            except ValueError:
                continue
            rows.append((id, record.topic, record.key, record.value))
        self._db.executemany("INSERT OR REPLACE INTO state VALUES (?, ?, ?, ?)", rows)

    def take_sent(self, records: Sequence[Record]) -> None:
        """Note what jobs with these names have sent."""
        rows = []
        for record in records:
            parent = next((v for name, v in record.headers if name == h.CE_PARENT), None)
            if parent is None or not parent.startswith(self._senders):
                continue
            try:
                e = decode(record)
            except UndecodableRecord:
                continue
            rows.append((e.parent, record.topic, e.id, e.name, e.key, e.payload))
        self._db.executemany("INSERT OR IGNORE INTO sent VALUES (?, ?, ?, ?, ?, ?)", rows)

    def found(self, id: str) -> OpenEntry | LedgerRecord | None:
        """How far the job of this id is, as the newest record says."""
        rows = self._db.execute("SELECT topic, key, value FROM state WHERE id = ?", (id,))
        found: list[OpenEntry | LedgerRecord] = []
        for topic, key, value in rows:
            if value is None:
                continue  # a tombstone
            try:
                is_open = topic in self._retries
                found.append(decode_open(key, value) if is_open else decode_ledger(key, value))
            except UndecodableRecord:
                continue
        # An entry whose job the ledger has is removed sooner or later.
        return max(found, key=lambda one: (one.position, type(one) is LedgerRecord), default=None)

    def topics_since(self, of: OpenEntry | LedgerRecord) -> frozenset[str]:
        """The topics of which it is known what this job sent there.

        None are of a job that was replayed, or of whose attempts some are forgotten: what it sent
        then are others.
        """
        if of.generation or of.attempts > len(of.history):
            return frozenset()
        started = of.history[0].started if of.history else 0
        return frozenset(topic for topic, since in self._kept_since.items() if since <= started)

    def sent_by(self, of: OpenEntry | LedgerRecord, topics: frozenset[str]) -> tuple[Sent, ...]:
        """What a job has enqueued and emitted, to these topics."""
        rows = self._db.execute(
            "SELECT topic, name, key, payload FROM sent WHERE parent = ?", (of.job.id,)
        )
        return tuple(
            Sent(name=name, key=key, payload=payload)
            for topic, name, key, payload in rows
            if topic in topics
        )

    def topic_of(self, sent: Envelope) -> str:
        """Where a job or an event is sent."""
        names = self._names
        return names.event(sent.name) if sent.queue is None else names.queue(sent.queue)


def account_of(found: OpenEntry | LedgerRecord | None) -> Account | str:
    """What a job came to; or why there is nothing to compare with. What it sent is left open."""
    if found is None:
        return NO_RECORD
    failure = found.failure
    if failure is not None and failure.type == UNKNOWN_JOB:
        return "no worker knew its handler then"
    if found.state in (State.DEAD, State.DISCARDED) and failure is not None:
        # One that was discarded with a failure was dead, and its letter was discarded.
        return Account(ended=Ended.FAILED, error=failure.type, message=failure.message)
    match found.state:
        case State.COMPLETED if isinstance(found, LedgerRecord):
            return Account(ended=Ended.COMPLETED, result=found.result)
        case State.DISCARDED:
            return Account(ended=Ended.DISCARDED, message=found.reason)
        case State.CANCELLED:
            return "it was cancelled"
        case State.EXPIRED:
            return "it expired"
    return f"it is not over ({found.state})"


def ended_its_worker(found: OpenEntry | LedgerRecord | None) -> bool:
    """Whether the process in which it ran did not survive it."""
    failure = None if found is None else found.failure
    return failure is not None and failure.type == WORKER_DIED


@asynccontextmanager
async def read_recorded(
    bootstrap: str,
    names: TopicNames,
    *,
    queues: Iterable[str],
    events: Iterable[str],
    jobs: Iterable[str],
    since: int | None,
    trimmed: int,
) -> AsyncIterator[Recorded]:
    """Read what became of jobs with these names; what they sent from `since` on.

    `events` are types of event that they may emit. Topics that do not exist are left out. Queues
    have lost nothing that is younger than `trimmed`. Times are in ms since the epoch.

    Raises:
        BrokerUnavailable: the broker did not answer, or stopped answering.
    """
    counts = await partition_counts(bootstrap)
    with TemporaryDirectory(prefix="streams-history-") as folder:
        recorded = Recorded(
            Path(folder) / "recorded.sqlite",
            names,
            [queue for queue in queues if names.ledger(queue) in counts],
            [kind for kind in events if names.event(kind) in counts],
        )
        try:
            recorded.look_for(jobs)
            # In this order: whoever is over has sent all that it sends.
            await _read_state(bootstrap, recorded, counts)
            await _read_sent(bootstrap, recorded, counts, since, trimmed)
            yield recorded
        finally:
            recorded.close()


async def _read_sent(
    bootstrap: str, recorded: Recorded, counts: dict[str, int], since: int | None, trimmed: int
) -> None:
    there = {topic: counts[topic] for topic in recorded.sent_topics}
    first: dict[tuple[str, int], int] = {}
    together: list[Record] = []
    async with open_reader(bootstrap, there) as reader:
        stretches = await reader.seek_between(None if since is None else since - _SKEW_MS, None)
        async for record in reader.to_end(stretches):
            first.setdefault((record.topic, record.partition), record.timestamp)
            together.append(record)
            if len(together) == _TOGETHER:
                recorded.take_sent(together)
                together = []
    recorded.take_sent(together)
    recorded.note_kept(stretches, first, trimmed)


async def _read_state(bootstrap: str, recorded: Recorded, counts: dict[str, int]) -> None:
    together: list[Record] = []
    async with open_reader(bootstrap, {t: counts[t] for t in recorded.state_topics}) as reader:
        async for record in reader.to_end():
            together.append(record)
            if len(together) == _TOGETHER:
                recorded.take_state(together)
                together = []
    recorded.take_state(together)
