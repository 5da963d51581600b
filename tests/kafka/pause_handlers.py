"""Jobs that tell when they start, in two queues."""

from __future__ import annotations

import effects

from streams import JobPayload, job


class Bulk(JobPayload, name="bulk_job", queue="bulk"):
    n: int


class Plain(JobPayload, name="plain_job"):
    n: int


@job
async def bulk_job(payload: Bulk) -> None:
    effects.write(f"bulk {payload.n}")


@job
async def plain_job(payload: Plain) -> None:
    effects.write(f"plain {payload.n}")
