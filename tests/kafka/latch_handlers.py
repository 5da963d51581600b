"""Jobs that run until a test opens their latch, and tell what happens to them meanwhile."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import effects

from streams import JobPayload, job


class Hold(JobPayload, name="hold", key="n"):
    n: int
    latch: str  # a file: once it is there, the job ends


@job
async def hold(payload: Hold) -> int:
    worker = os.environ["WORKER"]
    effects.write(f"start {payload.n} {worker}")
    try:
        # Another process opens it: there is nothing to wait for but the file.
        while not Path(payload.latch).exists():  # noqa: ASYNC240
            await asyncio.sleep(0.05)
    except asyncio.CancelledError:
        effects.write(f"stop {payload.n} {worker}")
        raise
    effects.write(f"end {payload.n} {worker}")
    return payload.n
