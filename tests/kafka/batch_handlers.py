"""A batch of many children, some of which fail, and its callback.

A line of the effects file is: what happened, the number of its children, completed, and failed.
"""

from __future__ import annotations

import effects

from streams import Fixed, JobContext, JobPayload, PermanentError, Retry, job

EVERY = 100  # one child in so many is retried, and one is dead
HALF = 2  # a child of this remainder


class Start(JobPayload, name="start"):
    children: int


class Part(JobPayload, name="part"):
    n: int


class Gather(JobPayload, name="gather"):
    pass


@job(timeout="5m")
async def start(payload: Start, ctx: JobContext) -> str:
    return await ctx.enqueue_batch(
        (Part(n=n) for n in range(payload.children)),
        then=Gather(),
    )


@job(retry=Retry(attempts=2, backoff=Fixed("500ms")))
async def part(payload: Part, ctx: JobContext) -> None:
    match payload.n % EVERY:
        case 0:
            raise PermanentError("one in a hundred")
        case 1 if ctx.attempt == 1:
            raise ConnectionError("once")
    if payload.n % 500 == HALF:
        effects.write(f"part {payload.n}")


@job
async def gather(payload: Gather, ctx: JobContext) -> list[int]:
    assert ctx.batch is not None
    effects.write(f"gather {ctx.batch.size} {ctx.batch.completed} {ctx.batch.failed}")
    return [ctx.batch.size, ctx.batch.completed, ctx.batch.failed]
