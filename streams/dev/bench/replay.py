"""replay: many dead letters listed, counted and replayed with the command line."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from contextlib import suppress
from typing import Any, Final

import orjson

from streams.dev.bench import handlers
from streams.dev.bench.bench import Bench, BenchFailed, Figures
from streams.dev.bench.drain import fill_queue
from streams.dev.bench.memory import peak_mb
from streams.dev.bench.recount import recount, wait_for_records
from streams.dev.bench.stage import Ground, Stage

_COMMAND: Final = (sys.executable, "-m", "streams", "dlq")
_PATIENCE_S: Final = 300.0


async def run(stage: Stage, jobs: int) -> Figures:
    """One round: all jobs give up; then their letters are listed, grouped, and all replayed."""
    ground = stage.ground()
    await ground.make_topics()
    stage.tell(f"{jobs:,} jobs give up")
    expected = await fill_queue(ground, handlers.Dying.__job_name__, jobs)
    with ground.worker() as worker:
        dead = ground.names.dead
        await wait_for_records(ground.bootstrap, dead, jobs, worker.check, tell=stage.tell)
        stage.tell("listing them")
        page = await _dlq(ground, "ls", "--json")
        if page.said["matching"] != jobs:
            raise BenchFailed(f"{page.said['matching']} of {jobs} letters are listed")
        groups = await _dlq(ground, "ls", "--by", "error", "--json")
        text = await _dlq(ground, "ls", "--text", f"user-{jobs - 1}@", "--json")
        stage.tell("replaying them")
        replayed = await _dlq(ground, "replay", "--all", "--yes", "--json")
        if replayed.said["replayed"] != jobs:
            raise BenchFailed(f"{replayed.said['replayed']} of {jobs} letters were replayed")
        ledger = ground.names.ledger(handlers.QUEUE)
        await wait_for_records(ground.bootstrap, ledger, jobs, worker.check, tell=stage.tell)
        await worker.stop()
    await recount(ground, handlers.QUEUE, expected)
    return {
        "replayed_per_second": jobs / replayed.seconds,
        "replay_seconds": replayed.seconds,
        "replay_peak_mb": replayed.peak,
        "page_seconds": page.seconds,
        "page_peak_mb": page.peak,
        "groups_seconds": groups.seconds,
        "text_seconds": text.seconds,
    }


class _Ran:
    """A command that ended well: what it said, how long it took, the most memory it had."""

    def __init__(self, said: Any, seconds: float, peak: float) -> None:
        self.said = said
        self.seconds = seconds
        self.peak = peak


async def _dlq(ground: Ground, *arguments: str) -> _Ran:
    environment = {
        **{n: v for n, v in os.environ.items() if not n.startswith("STREAMS_")},
        "KAFKA_BOOTSTRAP_SERVERS": ground.bootstrap,
        "STREAMS_PREFIX": ground.prefix,
    }
    began = time.monotonic()
    process = await asyncio.create_subprocess_exec(
        *_COMMAND,
        *arguments,
        env=environment,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    peak = 0.0
    watched = asyncio.ensure_future(process.communicate())
    while not (await asyncio.wait({watched}, timeout=0.1))[0]:
        with suppress(BenchFailed):  # it has just ended
            peak = max(peak, peak_mb(process.pid))
        if time.monotonic() - began > _PATIENCE_S:
            process.kill()
    output, errors = watched.result()
    if "replay" in arguments:
        sys.stderr.write(errors.decode()[-6000:])
    if process.returncode:
        raise BenchFailed(f"streams dlq {' '.join(arguments)} failed: {errors.decode()}")
    return _Ran(orjson.loads(output), time.monotonic() - began, peak)


BENCH: Final = Bench(
    name="replay",
    how=(
        "So many jobs of 10,000 keys give up at their first attempt. Then `streams dlq ls`, "
        "`ls --by error`, `ls --text` and `replay --all` run, one after the other; each from the "
        "start of its process to its end, with the most memory it had. The replayed jobs complete, "
        "and the ledger is recounted: each once, and in the order of its key."
    ),
    jobs=100_000,
    rounds=1,
    run=run,
)
