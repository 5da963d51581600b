"""console: a projection of many jobs is built from a real Kafka, and asked for pages of them."""

from __future__ import annotations

import asyncio
import sys
from contextlib import suppress
from typing import Any, Final

import orjson

from streams.client_request import now_ms
from streams.dev.bench import load
from streams.dev.bench.bench import Bench, BenchFailed, Figures
from streams.dev.bench.job_mix import JobMix
from streams.dev.bench.stage import PARTITIONS, Ground, Stage

_PROGRAM: Final = "streams.dev.bench.projecting"
_QUEUE: Final = "default"
_ASKS: Final = 25  # of each question
_LATER: Final = 2_000  # jobs that come while pages are read, again and again
_PAUSE_S: Final = 1.0


async def run(stage: Stage, jobs: int) -> Figures:
    """One round: topics are filled; a projection is made of them, and goes on with what comes."""
    ground = stage.ground()
    await ground.make_topics()
    mix = JobMix(jobs, now_ms(), PARTITIONS)
    stage.tell(f"filling topics with {jobs:,} jobs")
    names = ground.names
    await load.fill(ground.bootstrap, names.queue(_QUEUE), mix.sent())
    await load.fill(ground.bootstrap, names.ledger(_QUEUE), mix.over())
    await load.fill(ground.bootstrap, names.retry(_QUEUE), mix.open())
    stage.tell(f"a projection reads {mix.records:,} records")
    program = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        _PROGRAM,
        *(ground.bootstrap, ground.prefix, str(ground.folder / "projection.sqlite")),
        *(str(number) for number in (jobs, mix.now, _ASKS)),
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        figures: dict[str, Any] = await _follow(stage, ground, program, mix)
    finally:
        with suppress(ProcessLookupError):
            program.kill()
        await program.wait()
    if figures["records"] < mix.records:
        raise BenchFailed(f"{figures['records']} of {mix.records} records were read")
    return figures


async def _follow(
    stage: Stage, ground: Ground, program: asyncio.subprocess.Process, mix: JobMix
) -> Any:
    assert program.stdout is not None
    coming: asyncio.Task[None] | None = None
    is_read = asyncio.Event()
    try:
        async for line in program.stdout:
            said = orjson.loads(line)
            if "told" in said:
                stage.tell(said["told"])
            elif "built" in said:
                stage.tell("it is built; pages are read while more comes")
                coming = asyncio.create_task(_go_on(ground, is_read))
            else:
                return said["figures"]
        raise BenchFailed("the projection ended before it was asked")
    finally:
        is_read.set()
        if coming is not None:
            await coming


async def _go_on(ground: Ground, is_read: asyncio.Event) -> None:
    """More jobs, about as many a second as a worker can do, until all pages are read."""
    while not is_read.is_set():
        more = JobMix(_LATER, now_ms(), PARTITIONS)
        await load.fill(ground.bootstrap, ground.names.queue(_QUEUE), more.sent())
        await load.fill(ground.bootstrap, ground.names.ledger(_QUEUE), more.over())
        with suppress(TimeoutError):
            await asyncio.wait_for(is_read.wait(), _PAUSE_S)


BENCH: Final = Bench(
    name="console",
    how=(
        "Topics with so many jobs, of seven names and 50,000 keys, in all states, are read into "
        "an empty projection: records_per_second is from the start to the last one written. Then "
        "pages of it are read, one at a time, as the console does, while about 2,000 jobs a "
        "second come; page_*_ms are over all questions, p95_ms of each. All jobs are listed. "
        "rss_mb is the most memory that the process had."
    ),
    jobs=200_000,
    rounds=1,
    run=run,
)
