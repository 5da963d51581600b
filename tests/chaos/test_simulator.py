"""Seeded schedules hold every guarantee, and a rule broken on purpose is found."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from streams.testing.simulator import simulate
from streams.worker import pipeline, recovery
from streams.worker.settlement import Settlement

SEEDS = 150


async def test_every_schedule_holds():
    for seed in range(SEEDS):
        report = await simulate(seed)
        assert report.faults == [], f"seed {seed}: {report.faults}"


async def test_a_seed_replays_exactly():
    assert await simulate(7) == await simulate(7)


async def _found(within: int = 1_000) -> int | None:
    for seed in range(within):
        if (await simulate(seed)).faults:
            return seed
    return None


async def test_acknowledging_before_state_is_found(monkeypatch: pytest.MonkeyPatch):
    write = pipeline.Pipeline._settle

    async def ack_first(self: pipeline.Pipeline, settlement: Settlement) -> None:
        for offset in settlement.finished:
            self.watermark.finish(offset)
        self._source.release(self.watermark.value)
        settlement.finished.clear()
        await write(self, settlement)

    monkeypatch.setattr(pipeline.Pipeline, "_settle", ack_first)
    assert await _found() is not None


async def test_a_ledger_that_is_not_recovered_is_found(monkeypatch: pytest.MonkeyPatch):
    apply: Callable[..., None] = recovery._apply

    def skip_ledger(tables: object, place: object, record: object) -> None:
        if record[0].topic.endswith(".retry"):
            apply(tables, place, record)

    monkeypatch.setattr(recovery, "_apply", skip_ledger)
    assert await _found() is not None


async def test_parking_in_memory_only_is_found(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("streams.worker.owned.Owned.is_blocked", lambda *_: False)
    assert await _found() is not None


async def test_a_skipped_watermark_is_found(monkeypatch: pytest.MonkeyPatch):
    value = property(lambda self: self.position)
    monkeypatch.setattr("streams.worker.watermark.Watermark.value", value)
    assert await _found() is not None
