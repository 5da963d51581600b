"""Compares what owners keep, on disk and in memory, with what a fresh recovery makes of topics."""

from __future__ import annotations

from typing import TYPE_CHECKING

from streams.testing.memory import MemoryStore
from streams.wire.state import decode_open
from streams.worker.pipeline import Pipeline
from streams.worker.recovery import Recovery
from streams.worker.single_index import SINGLE
from streams.worker.tables import DUE, HELD, LANE, LEDGER, OPEN, Tables

if TYPE_CHECKING:
    from streams.testing.world import World


def compare_stores(world: World) -> None:
    """Add the differences to the oracle's faults."""
    for process in world.processes:
        for pipeline in process.worker.engine.queues.values():
            world.loop.create_task(_compare(world, pipeline))
    world.loop.run()


async def _compare(world: World, pipeline: Pipeline) -> None:
    place, ours = pipeline.place, pipeline.tables.store
    fresh = MemoryStore()
    await Recovery(Tables(fresh), place, lambda event: None).catch_up(world.log)
    for key, value in ours.scan(OPEN, b"", None):
        if pipeline.tables.open(key) != decode_open(key, value):
            world.oracle.fault("safety", f"the open entry {key!r} in memory is not the one on disk")
    for table in (OPEN, LEDGER, DUE, LANE, HELD, SINGLE):
        mine = dict(ours.scan(table, b"", None))
        theirs = dict(fresh.scan(table, b"", None))
        if mine != theirs:
            keys = sorted(
                key for key in mine.keys() | theirs.keys() if mine.get(key) != theirs.get(key)
            )
            world.oracle.fault(
                "safety", f"the store of {place.topic}/{place.partition} differs in {table}: {keys}"
            )
