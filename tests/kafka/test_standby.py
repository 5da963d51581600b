"""A worker that keeps a copy of another's state takes it over without reading it anew."""

from __future__ import annotations

import asyncio
import re
import time
from pathlib import Path

import orjson
from crash_handlers import Count
from topics import create_topics, read_all
from worker_process import WorkerProcess

from streams.client import JobClient
from streams.wire.topics import TopicNames

DELAYED = 600


async def _told(kafka: str, prefix: str) -> list[dict[str, object]]:
    """What the workers said of themselves last, oldest first."""
    records = await read_all(kafka, TopicNames(prefix).workers, 1)
    latest = {record.key: record.value for record in records}
    return [orjson.loads(value) for value in latest.values() if value is not None]


async def _until_copied(kafka: str, prefix: str, worker: WorkerProcess, count: int) -> None:
    limit = time.monotonic() + 60
    while True:
        copies = [len(told["standbys"]) for told in await _told(kafka, prefix)]  # type: ignore[arg-type]
        if max(copies, default=0) >= count:
            return
        assert time.monotonic() < limit, f"{copies}\n{worker.log}"
        await asyncio.sleep(0.1)


async def test_a_standby_takes_over_without_reading_everything(
    kafka: str, prefix: str, tmp_path: Path
):
    effects = str(tmp_path / "effects")
    await create_topics(kafka, prefix)
    # given a worker with many delayed jobs in its state
    first = WorkerProcess(kafka, prefix, "crash_handlers", tmp_path / "first", EFFECTS=effects)
    second = WorkerProcess(kafka, prefix, "crash_handlers", tmp_path / "second", EFFECTS=effects)
    async with JobClient(kafka, source="test", prefix=prefix) as jobs:
        with first:
            handles = [
                await jobs.enqueue(Count(account=n, n=n), delay="1h") for n in range(DELAYED)
            ]
            last = await jobs.enqueue(Count(account=0, n=-1))
            await last.result(timeout="60s")
            with second:
                # and another one beside it, which copies what it does not own
                await _until_copied(kafka, prefix, second, 3)
                told = await _told(kafka, prefix)
                owned = [told_of["partitions"] for told_of in told]
                assert len(owned) == 2
                await _until_copied(kafka, prefix, second, 3)
                # when the first one is killed
                first.kill()
                # then the second one has it all, and read next to nothing for it
                more = [await jobs.enqueue(Count(account=n, n=n), id=f"m{n}") for n in range(20)]
                await asyncio.gather(*(handle.result(timeout="60s") for handle in more))
                cancelled = handles[::100]
                for handle in cancelled:
                    await handle.cancel()
                for handle in cancelled:
                    while (await handle.status()).state != "cancelled":
                        await asyncio.sleep(0.05)
                assert second.stop() == 0, second.log
    recovered = [
        int(count)
        for count in re.findall(r"recovered \S*jobs\.default/\d from (\d+) records", second.log)
    ]
    assert sum(recovered) < DELAYED / 4 + 300, (recovered, second.log)
    assert "Traceback" not in second.log
