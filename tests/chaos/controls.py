"""Rules of the engine, each broken on purpose: the simulator must find every one of them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from streams.testing.worker import MemoryWorker
from streams.worker import recovery
from streams.worker.hand import Hand, Lane
from streams.worker.openings import Openings
from streams.worker.owned import Owned
from streams.worker.pipeline import Pipeline
from streams.worker.settlement import Settlement
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
        self._apply(tables, place, {})
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
    apply = recovery.apply

    def skip_ledger(tables: Tables, place: Any, records: Any) -> None:
        if records[0].topic.endswith(".retry"):
            apply(tables, place, records)

    patch.setattr(recovery, "apply", skip_ledger)


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
            self._lanes[attempt.lane] = Lane(attempt)
            self._start(attempt)

    patch.setattr(Hand, "take", take_at_once)


def settled_before_its_predecessor(patch: Patch) -> None:
    """A turn does not wait until the turn before it is settled."""
    settle = Pipeline._settle

    async def in_the_background(self: Pipeline, settlement: Settlement) -> None:
        self._behind = asyncio.ensure_future(settle(self, settlement))  # type: ignore[attr-defined]

    patch.setattr(Pipeline, "_settle", in_the_background)


def not_held_after_a_drain(patch: Patch) -> None:
    """What ends after a drain is settled, though the partition may be another's."""
    patch.setattr(Pipeline, "_held", property(lambda self: False, lambda self, value: None))


def started_early(patch: Patch) -> None:
    """What is due in a second is due now."""
    release = Openings.release

    def early(self: Openings, settlement: Settlement, now: int) -> None:
        release(self, settlement, now + 1_000)

    patch.setattr(Openings, "release", early)


def letters_sent_once(patch: Patch) -> None:
    """A letter that a crash left pending is not sent again."""
    write = Settlement.write

    async def sent_already(self: Settlement, log: Any, tables: Tables, place: Any) -> None:
        letters, self.letters = self.letters, []
        await write(self, log, tables, place)
        if letters:
            await log.append(letters)

    patch.setattr(Settlement, "write", sent_already)
    patch.setattr("streams.worker.settle.send_letter", _mark_sent)


def _mark_sent(entry: Any, settlement: Settlement, place: Any) -> None:
    from dataclasses import replace

    from streams.wire.state import letter_of
    from streams.worker.ports import Append

    settlement.open(replace(entry, letter_pending=False, due=None), None)
    settlement.letters.append(Append(place.dead, None, *letter_of(entry, place.queue)))


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
        settled_before_its_predecessor,
        not_held_after_a_drain,
        started_early,
        letters_sent_once,
    )
}
