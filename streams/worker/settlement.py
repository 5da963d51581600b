"""The writes of one turn of a partition, in the order that loses nothing."""

from __future__ import annotations

from dataclasses import dataclass, field

from streams.jobs.lifecycle import LifecycleEvent
from streams.wire.state import LedgerRecord, OpenEntry, encode_ledger, encode_open
from streams.worker.ports import Append, Change, Log
from streams.worker.tables import COMMANDS_READ, Tables


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
    unique_for_ms: int = 86_400_000  # for names that no handler here knows


@dataclass(slots=True)
class Settlement:
    """What one turn decided; empty is nothing to write."""

    opens: dict[bytes, OpenEntry] = field(default_factory=dict)
    ledgers: dict[bytes, LedgerRecord] = field(default_factory=dict)
    closes: set[bytes] = field(default_factory=set)
    letters: list[Append] = field(default_factory=list)
    finished: list[int] = field(default_factory=list)
    blocking: set[bytes] = field(default_factory=set)  # lanes that an entry of this turn blocks
    touched: set[bytes] = field(default_factory=set)  # lanes to look at afterwards
    events: list[LifecycleEvent] = field(default_factory=list)
    commands_read: int | None = None  # the offset after the last command that was obeyed

    def __bool__(self) -> bool:
        return bool(
            self.opens
            or self.ledgers
            or self.closes
            or self.letters
            or self.finished
            or self.touched
            or self.events
            or self.commands_read is not None
        )

    def open(self, entry: OpenEntry, lane: bytes | None) -> None:
        """Put an entry into the open table."""
        state_key = entry.job.encode()
        self.opens[state_key] = entry
        self.closes.discard(state_key)
        if lane is not None:
            self.touched.add(lane)
            if entry.blocks:
                self.blocking.add(lane)

    def end(self, record: LedgerRecord, *, was_open: bool, lane: bytes | None) -> None:
        """Put a record into the ledger, and remove the job's entry if it has one."""
        state_key = record.job.encode()
        self.ledgers[state_key] = record
        if was_open or state_key in self.opens:
            self.opens.pop(state_key, None)
            self.closes.add(state_key)
        if lane is not None:
            self.touched.add(lane)

    async def write(self, log: Log, tables: Tables, place: Place) -> None:
        """Make everything durable; each step is awaited before the next.

        Entries come before letters (a letter that state does not know as dead is void), both
        before the ledger, the ledger before the tombstones (a job is never in neither), and the
        local store last (it must never be ahead of its topics).
        """
        changes: list[Change] = []
        opens = [
            Append(place.retry, place.partition, *encode_open(entry))
            for entry in self.opens.values()
        ]
        if opens:
            offsets = await log.append(opens)
            changes.append(tables.applied_change(place.retry, max(offsets) + 1))
        if self.letters:
            await log.append(self.letters)
        if self.ledgers:
            ledgers = [
                Append(place.ledger, place.partition, *encode_ledger(record))
                for record in self.ledgers.values()
            ]
            offsets = await log.append(ledgers)
            changes.append(tables.applied_change(place.ledger, max(offsets) + 1))
        last = [Append(place.retry, place.partition, key, None) for key in self.closes]
        if self.commands_read is not None:
            # After its effects: a crash before this repeats the command, and it changes nothing.
            value = str(self.commands_read).encode()
            last.append(Append(place.retry, place.partition, COMMANDS_READ, value))
            changes.append(tables.applied_change(place.commands, self.commands_read))
        if last:
            offsets = await log.append(last)
            changes.append(tables.applied_change(place.retry, max(offsets) + 1))
        for entry in self.opens.values():
            changes += tables.put_open(entry)
        for record in self.ledgers.values():
            changes.append(tables.put_ledger(record))
        for key in self.closes:
            changes += tables.drop_open(key)
        if changes:
            tables.store.write(changes)
