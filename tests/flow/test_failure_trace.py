"""Listeners are told where an attempt failed."""

from __future__ import annotations

from streams.contracts import JobPayload
from streams.jobs.decorator import job
from streams.jobs.retry import Fixed, Retry
from streams.testing import Sandbox


class Fail(JobPayload, name="fail"):
    n: int


@job(retry=Retry(attempts=2, backoff=Fixed("1s")))
async def fail(payload: Fail) -> None:
    raise ValueError(f"not {payload.n}")


async def test_a_failed_attempt_tells_its_trace() -> None:
    async with Sandbox(fail) as box:
        await box.enqueue(Fail(n=1))
        await box.advance("1m")

        told = {event.happening.value: event.trace for event in box.events}

    for happening in ("retrying", "dead"):
        trace = told[happening]
        assert trace is not None
        assert "test_failure_trace.py" in trace
        assert "ValueError: not 1" in trace
        # and begins with what the handler's author knows
        assert trace.splitlines()[1].lstrip().startswith(f'File "{__file__}"')
    assert told["started"] is None
