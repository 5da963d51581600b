"""Jobs that work in parts, on the loop, in a thread and in a process, with a checkpoint after each.

A line of the effects file is: part, the job's name, its number, the part, the process.
"""

from __future__ import annotations

import asyncio
import os
import time
from pathlib import Path

import effects

from streams import JobContext, JobPayload, SyncJobContext, job

PARTS = 6
HALF = 3  # after which they wait for their latch


class OnLoop(JobPayload, name="on_loop", key="n"):
    n: int
    latch: str


class InThread(JobPayload, name="in_thread", key="n"):
    n: int
    latch: str


class InProcess(JobPayload, name="in_process", key="n"):
    n: int
    latch: str


KINDS = (OnLoop, InThread, InProcess)


def tell(payload: OnLoop | InThread | InProcess, part: int) -> None:
    effects.write(f"part {payload.__job_name__} {payload.n} {part} {os.getpid()}")


@job(timeout="1h")
async def on_loop(payload: OnLoop, ctx: JobContext) -> int:
    for part in range(ctx.checkpointed or 0, PARTS):
        tell(payload, part)
        await ctx.checkpoint(part + 1)
        await ctx.progress(part + 1, PARTS)
        ctx.log.info("part %d is done", part)
        # Another process opens it: there is nothing to wait for but the file.
        while part + 1 == HALF and not Path(payload.latch).exists():  # noqa: ASYNC240
            await asyncio.sleep(0.02)
    return PARTS


def in_parts(payload: InThread | InProcess, ctx: SyncJobContext) -> int:
    for part in range(ctx.checkpointed or 0, PARTS):
        tell(payload, part)
        ctx.checkpoint(part + 1)
        ctx.progress(part + 1, PARTS)
        ctx.log.info("part %d is done", part)
        while part + 1 == HALF and not Path(payload.latch).exists():
            ctx.raise_if_cancelled()
            time.sleep(0.02)
    return PARTS


@job(timeout="1h")
def in_thread(payload: InThread, ctx: SyncJobContext) -> int:
    return in_parts(payload, ctx)


@job(runs_in="process", timeout="1h")
def in_process(payload: InProcess, ctx: SyncJobContext) -> int:
    return in_parts(payload, ctx)
