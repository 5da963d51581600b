"""Rules of the engine, each broken on purpose: the simulator must find every one of them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest

from streams.jobs.batches import Tally
from streams.jobs.states import State
from streams.testing.worker import MemoryWorker
from streams.wire.envelope import Record
from streams.wire.letters import letter_of
from streams.wire.state import OpenEntry, encode_ledger, encode_open
from streams.worker.attempt import Attempt
from streams.worker.hand import Hand, Lane
from streams.worker.intake import Intake
from streams.worker.noted import Noted
from streams.worker.openings import Openings
from streams.worker.outcomes import Outcomes
from streams.worker.owned import Owned
from streams.worker.pipeline import Pipeline
from streams.worker.ports import Append, Log
from streams.worker.recovery import Recovery
from streams.worker.settlement import Place, Settlement, _OwnAppends
from streams.worker.tables import Tables

Patch = pytest.MonkeyPatch


def ack_before_state(patch: Patch) -> None:
    """Offsets are acknowledged, then what became of them is written."""
    settle = Pipeline._settle

    async def ack_first(self: Pipeline, settlement: Settlement) -> None:
        for offset in settlement.finished:
            self.watermark.finish(offset)
        self._source.release(self.watermark.value)
        settlement.finished.clear()
        await settle(self, settlement)

    patch.setattr(Pipeline, "_settle", ack_first)


def store_before_changelog(patch: Patch) -> None:
    """The local store is written first, then its topics."""
    write = Settlement.write

    async def store_first(self: Settlement, log: Any, tables: Tables, place: Any) -> None:
        ledgers = [(key, encode_ledger(record)[1]) for key, record in self.ledgers.items()]
        opens = [(key, encode_open(entry)[1]) for key, entry in self.opens.items()]
        self._apply(tables, place, {}, opens, ledgers)
        await write(self, log, tables, place)

    patch.setattr(Settlement, "write", store_first)


def watermark_skipped(patch: Patch) -> None:
    """The commit is the read position."""
    patch.setattr("streams.worker.watermark.Watermark.value", property(lambda self: self.position))


def parked_in_memory_only(patch: Patch) -> None:
    """Nothing parks durably behind an open job of its key."""
    patch.setattr(Owned, "is_blocked", lambda *_: False)


def ledger_not_recovered(patch: Patch) -> None:
    """Recovery reads the open table alone."""
    apply = Recovery.apply

    def skip_ledger(self: Recovery, records: Any) -> None:
        if records[-1].topic != self.place.ledger:
            apply(self, records)

    patch.setattr(Recovery, "apply", skip_ledger)


def no_lease(patch: Patch) -> None:
    """A worker writes however long it was silent."""
    patch.setattr(MemoryWorker, "_check_lease", lambda self: None)


def resumed_after_a_gap(patch: Patch) -> None:
    """A worker goes on with what it holds, though others may have had its partitions."""
    patch.setattr(MemoryWorker, "_must_reopen", lambda self, generation: False)


def started_before_its_predecessor_is_over(patch: Patch) -> None:
    """Jobs of one key run side by side."""
    take = Hand.take

    def take_at_once(self: Hand, attempt: Any) -> None:
        lane = self._lanes.get(attempt.lane)
        take(self, attempt)
        if lane is not None and attempt in lane.waiting:
            lane.waiting.remove(attempt)
            self._lanes[attempt.lane] = Lane([attempt])
            self._start(attempt)

    patch.setattr(Hand, "take", take_at_once)


def settled_beside_its_predecessor(patch: Patch) -> None:
    """A turn is decided and written while the turn before it is still being written."""
    settle = Pipeline._settle
    behind: dict[int, asyncio.Task[None]] = {}

    async def overlapping(self: Pipeline, settlement: Settlement) -> None:
        before = behind.get(id(self))
        behind[id(self)] = asyncio.ensure_future(settle(self, settlement))
        await (asyncio.sleep(0) if before is None else before)

    patch.setattr(Pipeline, "_settle", overlapping)


def written_at_once(patch: Patch) -> None:
    """Entries, ledger records and tombstones of a turn are on their way side by side."""
    append = _OwnAppends.append
    write = Settlement.write

    async def in_the_background(self: _OwnAppends, topic: str, pairs: Any) -> None:
        sent.append(asyncio.ensure_future(append(self, topic, pairs)))
        await asyncio.sleep(0)

    async def write_and_wait(self: Settlement, log: Any, tables: Tables, place: Any) -> None:
        await write(self, log, tables, place)
        while sent:
            await sent.pop()

    sent: list[asyncio.Task[None]] = []
    patch.setattr(_OwnAppends, "append", in_the_background)
    patch.setattr(Settlement, "write", write_and_wait)


def not_held_after_a_drain(patch: Patch) -> None:
    """What ends after a drain is settled, though the partition may be another's."""
    patch.setattr(
        Pipeline, "_held", property(lambda self: False, lambda self, value: None), raising=False
    )


def entry_before_what_ended_before_it(patch: Patch) -> None:
    """A job that stays open is written at once, before the ledger has those of its key."""
    conclude_all = Outcomes.conclude_all

    class Nothing(set[bytes]):
        def add(self, element: bytes) -> None: ...

    def at_once(self: Outcomes, settlement: Settlement, now: int) -> None:
        settlement.passed = Nothing()
        conclude_all(self, settlement, now)

    patch.setattr(Outcomes, "conclude_all", at_once)


def admitted_beside_what_is_being_written(patch: Patch) -> None:
    """What arrives during a write is decided by what was known before it."""
    admit_at_once = Intake.admit_at_once

    def by_the_past(self: Intake, record: Record, pending: Settlement, now: int) -> bool:
        return admit_at_once(self, record, Settlement(at=pending.at), now)

    patch.setattr(Intake, "admit_at_once", by_the_past)


def started_early(patch: Patch) -> None:
    """What is due in a second is due now."""
    release = Openings.release

    def early(self: Openings, settlement: Settlement, now: int) -> None:
        release(self, settlement, now + 1_000)

    patch.setattr(Openings, "release", early)


def letter_never_repeated(patch: Patch) -> None:
    """An entry does not say that its letter is pending, so that a crash can lose the letter."""

    def send(entry: OpenEntry, settlement: Settlement, place: Any, hook: Any = ()) -> None:
        sent = replace(entry, letter_pending=False, due=None)
        settlement.opens[entry.job.encode()] = sent
        letter = letter_of(entry, place.queue)
        settlement.letters.append(Append(place.dead, place.partition, *letter))

    patch.setattr("streams.worker.open_jobs.send_letter", send)


def checkpoint_not_awaited(patch: Patch) -> None:
    """A handler goes on before its checkpoint is durable."""
    keep = Noted.keep

    def keep_at_once(self: Noted, attempt: Attempt) -> asyncio.Future[None]:
        keep(self, attempt)
        at_once: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        at_once.set_result(None)
        return at_once

    patch.setattr(Noted, "keep", keep_at_once)


def checkpoint_before_what_ended_before_it(patch: Patch) -> None:
    """The entry of a checkpoint may be written with the ends of those before it in its key."""
    keep_all = Noted.keep_all

    def keep_beside(self: Noted, settlement: Settlement, now: int) -> None:
        passed, settlement.passed = settlement.passed, set()
        keep_all(self, settlement, now)
        settlement.passed = passed

    patch.setattr(Noted, "keep_all", keep_beside)


def checkpoint_forgotten(patch: Patch) -> None:
    """What stays open keeps nothing of what its handler said."""

    def without(attempt: Attempt) -> None:
        return None

    patch.setattr(Attempt, "notes", property(without))


def reported_before_it_is_over(patch: Patch) -> None:
    """A child reports before its end is durable."""
    write = Settlement.write

    async def report_first(self: Settlement, log: Log, tables: Tables, place: Place) -> None:
        self.letters += self.reports
        self.reports = []
        await write(self, log, tables, place)

    patch.setattr(Settlement, "write", report_first)


def not_reported_again(patch: Patch) -> None:
    """What a crash kept a child from reporting is not reported later."""
    patch.setattr(Recovery, "_reports", lambda self: [])
    patch.setattr(Intake, "_report_again", lambda self, record, state_key, settlement: None)


def reports_counted(patch: Patch) -> None:
    """Reports are counted, whichever child they are of."""

    def counted(self: Tally, reports: Sequence[tuple[int, State]]) -> Tally:
        return replace(self, over=(self.over + 1 << len(reports)) - 1)

    patch.setattr(Tally, "with_reports", counted)


CONTROLS: dict[str, Callable[[Patch], None]] = {
    control.__name__: control
    for control in (
        ack_before_state,
        store_before_changelog,
        watermark_skipped,
        parked_in_memory_only,
        ledger_not_recovered,
        no_lease,
        resumed_after_a_gap,
        started_before_its_predecessor_is_over,
        settled_beside_its_predecessor,
        written_at_once,
        not_held_after_a_drain,
        entry_before_what_ended_before_it,
        admitted_beside_what_is_being_written,
        started_early,
        letter_never_repeated,
        checkpoint_not_awaited,
        checkpoint_before_what_ended_before_it,
        checkpoint_forgotten,
        reported_before_it_is_over,
        not_reported_again,
        reports_counted,
    )
}
