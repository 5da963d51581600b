"""The writes of one turn of a partition, in the order that loses nothing."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field

from streams.jobs.lifecycle import LifecycleEvent
from streams.jobs.states import State
from streams.wire import headers as h
from streams.wire.state import LedgerRecord, OpenEntry, encode_ledger, encode_open
from streams.wire.topics import TopicNames
from streams.worker.attempt import Attempt
from streams.worker.ports import Append, Log
from streams.worker.sums import SUMS, Sums
from streams.worker.tables import AT_WORK, COMMANDS_READ, COMMITTED, Batch, Tables

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """One partition of one queue, the topics of its state, and who works on it."""

    queue: str
    partition: int
    topic: str
    retry: str
    ledger: str
    dead: str
    commands: str
    worker: str
    partitions: int = 1  # of the queue
    unique_for_ms: int = 86_400_000  # for names that no handler here knows
    names: TopicNames = field(default_factory=TopicNames)
    queues: Collection[str] = ()  # all that are known, also those that come later


@dataclass(slots=True)
class Settlement:
    """What one turn decided; empty is nothing to write."""

    at: int = 0  # when, in milliseconds since the epoch
    epoch: int = 0  # the ownership under which it is written
    opens: dict[bytes, OpenEntry] = field(default_factory=dict)
    ledgers: dict[bytes, LedgerRecord] = field(default_factory=dict)
    closes: set[bytes] = field(default_factory=set)
    forwards: list[Append] = field(default_factory=list)  # records of other partitions
    letters: list[Append] = field(default_factory=list)
    followers: list[Append] = field(default_factory=list)  # jobs that follow from dead ones
    restored: list[State | None] = field(
        default_factory=list
    )  # as what it was over; None: it was not
    reports: list[Append] = field(default_factory=list)  # of children, to their callbacks
    pending_letters: list[OpenEntry] = field(default_factory=list)  # sent in this turn
    finished: list[int] = field(default_factory=list)
    copies: int = 0  # how many of these are of jobs that were known
    undecodable: int = 0  # and how many are none
    ends: list[State] = field(default_factory=list)  # of each job that is over
    unrecorded: int = 0  # those that are over and leave no record
    blocking: set[bytes] = field(default_factory=set)  # lanes that an entry of this turn blocks
    singles: dict[str, dict[bytes, None]] = field(default_factory=dict)  # by scope: state keys
    passed: set[bytes] = field(default_factory=set)  # lanes of which one ended and the next began
    touched: dict[bytes, None] = field(default_factory=dict)  # lanes to look at, in this order
    events: list[LifecycleEvent] = field(default_factory=list)
    awaited: list[asyncio.Future[None]] = field(default_factory=list)  # until it is durable
    left: list[Attempt] = field(default_factory=list)  # of keys with rates, out of hand
    commands_read: int | None = None  # the offset after the last command that was obeyed
    committed: int | None = None  # the watermark of earlier turns, to be kept in state
    at_work: bool | None = None  # the owner's mark: set, or removed
    asks_end: bool = False  # where the queue ends now
    queue_end: int | None = None  # the answer
    keeps_sums: bool = False  # a copy of them in the retry topic
    inspects: bool = False  # look for what earlier owners wrote late, also if nothing is written

    def __bool__(self) -> bool:
        return bool(
            self.opens
            or self.ledgers
            or self.closes
            or self.forwards
            or self.followers
            or self.letters
            or self.reports
            or self.finished
            or self.touched
            or self.events
            or self.commands_read is not None
            or self.committed is not None
            or self.at_work is not None
            or self.asks_end
            or self.keeps_sums
            or self.inspects
        )

    def open(self, entry: OpenEntry, lane: bytes | None) -> None:
        """Put an entry into the open table."""
        state_key = entry.job.encode()
        self.opens[state_key] = entry
        self.closes.discard(state_key)
        if entry.single is not None:
            self.singles.setdefault(entry.single.scope, {})[state_key] = None
        if lane is not None:
            self.touched[lane] = None
            if entry.blocks:
                self.blocking.add(lane)

    def end(
        self, state_key: bytes, record: LedgerRecord, *, was_open: bool, lane: bytes | None
    ) -> None:
        """Put a record into the ledger, and remove the job's entry if it has one."""
        before = self.ledgers.get(state_key)
        if before is None or before.time != record.time:
            self.ends.append(record.state)
        self.ledgers[state_key] = record
        if record.single is not None:
            self.singles.setdefault(record.single.scope, {})[state_key] = None
        self._close(state_key, was_open=was_open, lane=lane)

    def leave(self, state_key: bytes, *, was_open: bool, lane: bytes | None) -> None:
        """A job is over and leaves no record; remove its entry if it has one."""
        self.unrecorded += 1
        self._close(state_key, was_open=was_open, lane=lane)

    def _close(self, state_key: bytes, *, was_open: bool, lane: bytes | None) -> None:
        if was_open or state_key in self.opens:
            self.opens.pop(state_key, None)
            self.closes.add(state_key)
        if lane is not None:
            self.touched[lane] = None

    def has(self, state_key: bytes) -> bool:
        """Whether it says something about this job: what state has of it is of the past."""
        return state_key in self.opens or state_key in self.closes or state_key in self.ledgers

    async def write(self, log: Log, tables: Tables, place: Place) -> None:
        """Make everything durable; each step is awaited before the next.

        Entries come before letters (a letter that state does not know as dead is void), both
        before the ledger, the ledger before the tombstones (a job is never in neither), and the
        local store last (it must never be ahead of its topics).
        """
        if self.asks_end:
            self.queue_end = await log.end(place.topic, place.partition)
        own = _OwnAppends(log, tables, place, self)
        # What was counted first: it is of the state as the topics have it before this.
        sums = [(SUMS, sums_value(tables, place))] if self.keeps_sums else []
        opens = [(key, encode_open(entry)[1]) for key, entry in self.opens.items()]
        ledgers = [(key, encode_ledger(record)[1]) for key, record in self.ledgers.items()]
        await own.append(place.retry, [*sums, *opens])
        if self.forwards or self.followers or self.letters:
            await log.append([*self.forwards, *self.followers, *self.letters])
        await own.append(place.ledger, ledgers)
        if self.reports:
            # Not before: what a child reports is to be true. And before anything forgets the child:
            # whoever finds it over, and not yet forgotten, reports again.
            await log.append(self.reports)
        last: list[tuple[bytes, bytes | None]] = [(key, None) for key in sorted(self.closes)]
        # After their effects: a crash before this repeats a command, and it changes nothing.
        for name, offset in ((COMMANDS_READ, self.commands_read), (COMMITTED, self.committed)):
            if offset is not None:
                last.append((name, b"%d" % offset))
        if self.at_work is not None:
            last.append((AT_WORK, self._mark(place)))
        await own.append(place.retry, last)
        if self.at_work:
            # In both topics: what an earlier owner writes behind this is void for every reader.
            await own.append(place.ledger, [(AT_WORK, self._mark(place))])
        if self.inspects:
            await own.inspect(place.retry)
            await own.inspect(place.ledger)
        self._apply(tables, place, own.ends, opens, ledgers)

    def _mark(self, place: Place) -> bytes | None:
        return place.worker.encode() if self.at_work else None

    def _apply(
        self,
        tables: Tables,
        place: Place,
        ends: dict[str, int],
        opens: Iterable[tuple[bytes, bytes]],
        ledgers: Iterable[tuple[bytes, bytes]],
    ) -> None:
        batch: Batch = tables.batch()
        for topic, end in ends.items():
            batch.reflect(topic, end)
        if self.commands_read is not None:
            batch.reflect(place.commands, self.commands_read)
        if self.committed is not None:
            batch.commit(self.committed)
            batch.see(self.at)
        if self.at_work is not None:
            batch.mark(self._mark(place))
            batch.enter(place.retry, self.epoch)
            batch.enter(place.ledger, self.epoch)
        for key, value in opens:
            batch.put_open(self.opens[key], value)
        for key, value in ledgers:
            batch.put_ledger(self.ledgers[key], value)
        for key in self.closes:
            batch.drop_open(key)
        if self.finished or self.ends or self.unrecorded or self.restored:
            self._count(batch.count())
        batch.write()

    def _count(self, sums: Sums) -> None:
        others = self.copies + len(self.forwards) + self.undecodable
        sums.accepted += len(self.finished) - others
        sums.duplicates += self.copies
        sums.forwarded += len(self.forwards)
        sums.undecodable += self.undecodable
        sums.unrecorded += self.unrecorded
        for state in self.ends:
            sums.end(state)
        for before in self.restored:
            sums.restore(before)


class _OwnAppends:
    """Appends to the topics of state, which their owner alone writes.

    Where offsets are missing between what the store reflects and what an append got, an earlier
    owner wrote late (or an append of ours failed after a part of it was written). What it wrote
    is overwritten with what we know, so that every later reader recovers our state.
    """

    def __init__(self, log: Log, tables: Tables, place: Place, settlement: Settlement) -> None:
        self.ends: dict[str, int] = {}
        self._log = log
        self._tables = tables
        self._place = place
        self._settlement = settlement
        self._headers = epoch_headers(settlement.epoch)

    async def append(self, topic: str, pairs: Sequence[tuple[bytes, bytes | None]]) -> None:
        if not pairs:
            return
        partition, headers = self._place.partition, self._headers
        records = [Append(topic, partition, key, value, headers) for key, value in pairs]
        offsets = await self._log.append(records)
        expected = self.ends.get(topic)
        if expected is None:
            expected = self._tables.applied(topic)
        self.ends[topic] = max(offsets) + 1
        if self.ends[topic] - expected > len(records):
            await self._overwrite_foreign(topic, expected, set(offsets))

    async def inspect(self, topic: str) -> None:
        """Look at what was written behind what we know."""
        known = self.ends.get(topic)
        if known is None:
            known = self._tables.applied(topic)
        end = await self._log.end(topic, self._place.partition)
        if end > known:
            self.ends[topic] = end
            await self._overwrite_foreign(topic, known, set())

    async def _overwrite_foreign(self, topic: str, start: int, own: set[int]) -> None:
        end = self.ends[topic]
        first = min(own, default=end)
        foreign: dict[bytes, None] = {}
        async for batch in self._log.read(topic, self._place.partition, start):
            for record in batch:
                key = record.key or b""
                is_older = record.offset < first and self._is_written(topic, key)
                if record.offset < end and record.offset not in own and not is_older:
                    foreign[key] = None
        if not foreign:
            return
        logger.warning(
            "%s/%d: records of an earlier owner came late and are overwritten: %d keys",
            topic,
            self._place.partition,
            len(foreign),
        )
        await self.append(
            topic,
            [(key, self._value(topic, key)) for key in foreign],
        )

    def _is_written(self, topic: str, key: bytes) -> bool:
        """Whether this settlement writes the key itself, now or later."""
        s = self._settlement
        if topic == self._place.ledger:
            return key in s.ledgers
        return key in s.opens or key in s.closes

    def _value(self, topic: str, key: bytes) -> bytes | None:
        """What the key's record must be, as far as we know."""
        s, tables, place = self._settlement, self._tables, self._place
        if key == AT_WORK and topic == place.ledger:
            return place.worker.encode()
        if topic == place.ledger:
            record = s.ledgers.get(key)
            return ledger_value(tables, key) if record is None else encode_ledger(record)[1]
        if key == AT_WORK and s.at_work is not None:
            return s._mark(place)
        if key in s.closes:
            return None
        if (entry := s.opens.get(key)) is not None:
            return encode_open(entry)[1]
        return retry_value(tables, place, key)


def epoch_headers(epoch: int) -> list[tuple[str, bytes | None]]:
    """The headers of every record of state, tombstones included."""
    return [(h.EPOCH, b"%d" % epoch)]


def retry_value(tables: Tables, place: Place, key: bytes) -> bytes | None:
    """What the retry topic must have for a key, by what the store knows."""
    if key == COMMITTED:
        return b"%d" % tables.committed()
    if key == COMMANDS_READ:
        return b"%d" % tables.applied(place.commands)
    if key == AT_WORK:
        return tables.owner_at_work()
    if key == SUMS:
        return sums_value(tables, place)
    entry = tables.open(key)
    return None if entry is None else encode_open(entry)[1]


def sums_value(tables: Tables, place: Place) -> bytes:
    """What was counted, and of which state that is true."""
    # A recovery reckons what was accepted at its end, from what did not add up at its beginning.
    is_whole = not tables.is_being_recovered()
    return tables.sums.encode(
        unaccounted=tables.unaccounted if is_whole else tables.sums.drift,
        ledger=tables.applied(place.ledger),
        retry=tables.applied(place.retry) if is_whole else -1,
        arrivals_end=tables.counts.arrivals_end,
    )


def ledger_value(tables: Tables, key: bytes) -> bytes | None:
    """What the ledger topic must have for a key, by what the store knows."""
    record = tables.ledger(key)
    return None if record is None else encode_ledger(record)[1]
