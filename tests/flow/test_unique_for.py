"""What a client needs in order to tell a dropped copy from a new run is in the ledger."""

from __future__ import annotations

from streams.contracts import JobPayload
from streams.jobs.decorator import job
from streams.testing.sandbox import Sandbox
from streams.wire.state import LedgerRecord


class Once(JobPayload, name="once"):
    n: int


@job(unique_for="1h")
async def once(payload: Once) -> None: ...


async def test_every_ledger_record_says_how_long_its_id_is_refused() -> None:
    async with Sandbox(once) as box:
        await box.enqueue(Once(n=1))
        await box.cancel(await box.enqueue(Once(n=2), delay="10m"))

        found = [one for one in box.jobs() if isinstance(one, LedgerRecord)]

    assert sorted(one.state for one in found) == ["cancelled", "completed"]
    assert {one.unique_for_ms for one in found} == {3_600_000}
