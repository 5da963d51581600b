"""Two workers and a client, for tests of what holds in all workers together."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from fleet import Fleet
from group import Group
from topics import QUEUES, create_topics

from streams.client import JobClient

PARTITIONS = 4
WORKERS = ("a", "b")


@asynccontextmanager
async def fleet_to_start(
    kafka: str,
    prefix: str,
    folder: Path,
    handlers: str,
    partitions: int = PARTITIONS,
    *,
    events: Sequence[str] = (),
    **settings: str,
) -> AsyncIterator[tuple[Fleet, JobClient]]:
    """Topics, a client, and workers that are to be started.

    Those that run when the test is through must stop in good order.
    """
    await create_topics(kafka, prefix, partitions, events=events)
    settings = {
        "handlers": handlers,
        "STREAMS_PARTITIONS": str(partitions),
        "STREAMS_QUEUES": ",".join(QUEUES),
        **settings,
    }
    with Fleet(kafka, prefix, folder, **settings) as fleet:
        async with JobClient(kafka, source="test", prefix=prefix) as client:
            yield fleet, client
        for worker in fleet.running:
            assert worker.stop() == 0, worker.log


def start_two(fleet: Fleet) -> None:
    """Start both; handlers know by WORKER in which one they run."""
    for name in WORKERS:
        fleet.start(name, WORKER=name)


@asynccontextmanager
async def two_workers(
    kafka: str,
    prefix: str,
    folder: Path,
    handlers: str,
    partitions: int = PARTITIONS,
    *,
    events: Sequence[str] = (),
) -> AsyncIterator[tuple[Fleet, JobClient]]:
    """The same with both at work, each with its share of the partitions."""
    opening = fleet_to_start(kafka, prefix, folder, handlers, partitions, events=events)
    async with opening as (fleet, client):
        start_two(fleet)
        await Group(kafka, f"{prefix}workers").until_members(len(WORKERS), fleet.logs)
        yield fleet, client
