"""Every query of every panel finds what it asks for, in a Prometheus that scrapes a worker."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest
from graph_handlers import (
    Broken,
    Fine,
    Flaky,
    Long,
    Rude,
    Scarce,
    Slow,
    Stubborn,
    Stuck,
    Tired,
)
from prometheus_runtime import Programs, Prometheus
from topics import create_topics
from worker_process import WorkerProcess

from streams import Every
from streams.client import JobClient
from streams.dev.graphs.catalog import DASHBOARDS
from streams.dev.ports import free_port
from streams.replay.actions import Replaying
from streams.replay.dead_topic import open_dead_topic
from streams.replay.letter_filter import LetterFilter
from streams.replay.resolving import resolve
from streams.schedules.control import write_control
from streams.wire.producer import close_producer, open_producer, send
from streams.wire.schedules import Ticked, encode_ticked, shape_of
from streams.wire.topics import TopicNames

RULES = Path(__file__).parents[2] / "deploy" / "prometheus" / "alerts.yml"

# What is 0 when all is well, or is only seen if a scrape meets it; all others are above 0 here.
MAY_BE_NOTHING = re.compile(
    r"streams_audit_unaccounted|streams_queue_commit_age|streams_queue_paused|skipped"
)


def chosen(expr: str, instance: str) -> str:
    """A query with its variables as somebody has chosen them."""
    values = {
        "job": ".*",
        "queue": "default",
        "name": ".*",
        "process": ".*",
        "instance": instance,
        "__rate_interval": "1m",
        "__range": "1h",
    }
    return re.sub(r"\$(\w+)", lambda found: values[found[1]], expr)


@asynccontextmanager
async def load(kafka: str, prefix: str) -> AsyncIterator[None]:
    """Jobs of every fate, more of them as long as somebody looks."""
    names = TopicNames(prefix)
    async with JobClient(kafka, source="test", prefix=prefix) as jobs:

        async def go_on() -> None:
            n = 0
            while True:
                n += 1
                for payload in (Flaky(n=n), Broken(n=n), Rude(n=n)):
                    await jobs.enqueue(payload)
                await jobs.enqueue(Fine(n=n), id="twice")
                over = await jobs.enqueue(Fine(n=n))
                for _ in range(2):
                    await jobs.enqueue(Slow(account=1, n=n))
                await send(producer, names.queue("default"), key=b"junk", value=b"no job")
                async with open_dead_topic(kafka, names.dead) as dead:
                    letters = dead.letters(LetterFilter(job="broken").fits)
                    await resolve(kafka, names, letters, Replaying(names), timeout_ms=10_000)
                await over.result(timeout="30s")  # the worker sets the pace

        producer = await open_producer(kafka, "test")
        try:
            for n in range(3):
                for payload in (Scarce(n=n), Tired(n=n), Long(n=n)):
                    await jobs.enqueue(payload)
                await jobs.enqueue(Fine(n=n), delay="1h")
                await jobs.enqueue(Stuck(account=2, n=n))
            await jobs.enqueue(Stubborn(n=1))
            going = asyncio.create_task(go_on())
            try:
                yield
            finally:
                going.cancel()
                with suppress(asyncio.CancelledError):
                    await going
        finally:
            await close_producer(producer)


async def miss_ticks(kafka: str, prefix: str) -> None:
    """As if the last worker had gone an hour ago."""
    hour_ago = time.time_ns() // 1_000_000 - 3_600_000
    shape = shape_of(Every("1s", overlap="allow"))
    ticked = Ticked(last=hour_ago, shape=shape, queue="default")
    await write_control(kafka, TopicNames(prefix).control, [encode_ticked("tick", ticked)])


async def test_every_query_of_every_panel_has_data(
    kafka: str, prefix: str, tmp_path: Path, prometheus: Programs
) -> None:
    await create_topics(kafka, prefix)
    await miss_ticks(kafka, prefix)
    instance = f"127.0.0.1:{free_port()}"
    worker = WorkerProcess(
        kafka,
        prefix,
        "graph_handlers",
        tmp_path,
        STREAMS_WEB_PORT=instance.partition(":")[2],
        STREAMS_QUEUES="default",
        STREAMS_GRACE="1s",
    )
    server = Prometheus(prometheus, tmp_path / "prometheus", [instance])
    with worker, server:
        # What a counter gains before its first scrape nobody sees.
        await server.until(f'streams_worker_info{{instance="{instance}"}}')
        async with load(kafka, prefix):
            missing = {
                (name, panel.title, chosen(query.expr, instance))
                for name, dashboard in DASHBOARDS.items()
                for panel in dashboard.panels
                for query in panel.queries
            }
            assert len(missing) > 100
            limit = time.monotonic() + 100
            while missing:
                for each in sorted(missing):
                    found = await server.values(expr := each[-1])
                    if any(value > 0 for value in found) or (found and MAY_BE_NOTHING.search(expr)):
                        missing.remove(each)
                if time.monotonic() > limit:
                    lines = "\n".join(" | ".join(each) for each in sorted(missing))
                    pytest.fail(f"without data:\n{lines}\n{worker.log[-2_000:]}")
            # and what alarms are made of is there as well
            for name in set(re.findall(r"\b(?:streams|process)_\w+", RULES.read_text())):
                assert await server.values(f'count({{__name__="{name}"}})'), name
