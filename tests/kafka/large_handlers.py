"""A handler whose result is larger than a record should be, on the loop and in a process."""

from __future__ import annotations

from streams import JobPayload, job


class OnLoop(JobPayload, name="on_loop"):
    size: int


class InProcess(JobPayload, name="in_process"):
    size: int


@job
async def on_loop(payload: OnLoop) -> dict[str, str]:
    return {"text": "x" * payload.size}


@job(runs_in="process")
def in_process(payload: InProcess) -> dict[str, str]:
    return {"text": "x" * payload.size}
