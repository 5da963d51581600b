"""A job that ends the process it runs in, and one that is busy beside it."""

from __future__ import annotations

import asyncio
import os
import signal

from fault_handlers import step, tell  # noqa: F401 - step is a handler to load

from streams import JobPayload, Retry, job


class Killer(JobPayload, name="killer", key="n"):
    n: int


class Beside(JobPayload, name="beside", key="n"):
    n: int


@job(retry=Retry(attempts=3))
async def killer(payload: Killer) -> None:
    tell("start", payload, payload.n)
    await asyncio.sleep(0.2)  # so that others run beside it
    os.kill(os.getpid(), signal.SIGKILL)


@job(retry=Retry(attempts=3))
async def beside(payload: Beside) -> None:
    tell("start", payload, payload.n)
    await asyncio.sleep(0.6)  # longer than the process lives
    tell("end", payload, payload.n)
