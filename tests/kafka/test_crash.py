"""A worker killed in the middle of its work: nothing lost, nothing settled twice, order kept."""

from __future__ import annotations

import asyncio
import shutil
from collections import Counter, defaultdict
from pathlib import Path

from crash_handlers import Count, Effect
from effects import Lines, lines, until
from topics import create_topics, states_of
from worker_process import WorkerProcess

from streams.client import JobClient
from streams.wire.topics import TopicNames


async def _until_ended(worker: WorkerProcess, effects: Path, count: int) -> None:
    def enough(found: Lines) -> bool:
        assert worker.process is not None and worker.process.poll() is None, worker.log
        return sum(line[0] == "end" for line in found) >= count

    await until(effects, enough, lambda: worker.log)


async def test_a_killed_worker_loses_nothing_and_keeps_order(
    kafka: str, prefix: str, tmp_path: Path
):
    # given 1,000 jobs over 100 keys, one in ten failing its first attempt
    effects = tmp_path / "effects"
    await create_topics(kafka, prefix)
    async with JobClient(kafka, source="test", prefix=prefix) as jobs:
        handles = await jobs.enqueue_many(Effect(account=n % 100, n=n) for n in range(1_000))
        worker = WorkerProcess(kafka, prefix, "crash_handlers", tmp_path, EFFECTS=str(effects))
        with worker:
            await _until_ended(worker, effects, 300)
            # when it is killed while at least ten run
            worker.kill()
            kinds = Counter(line[0] for line in lines(effects))
            running = kinds["start"] - kinds["end"]
            assert running >= 10
            worker.start()
            await asyncio.gather(*(handle.result(timeout="60s") for handle in handles[-100:]))
            await _until_ended(worker, effects, 1_000)
            for handle in handles[::97]:
                await handle.result(timeout="60s")
            assert worker.stop() == 0, worker.log
    # then each job has exactly one ledger record, and one retrying entry for each run at most
    names = TopicNames(prefix)
    ledger = await states_of(kafka, names.ledger("default"))
    assert {key[1] for key in ledger} == {"completed"}
    assert len({key[0] for key in ledger}) == 1_000
    assert sum(ledger.values()) == 1_000
    retries = await states_of(kafka, names.retry("default"))
    assert {count for key, count in retries.items() if key[1] == "retrying"} == {1}
    # and within a key each job ended before the next one started
    ended: dict[str, set[int]] = defaultdict(set)
    for kind, account, n in lines(effects):
        if kind == "start":
            earlier = range(int(account), int(n), 100)
            assert ended[account].issuperset(earlier), f"{n} started before its predecessors ended"
        else:
            ended[account].add(int(n))


async def test_ids_enqueued_twice_run_once_also_on_another_owner(
    kafka: str, prefix: str, tmp_path: Path
):
    effects = tmp_path / "effects"
    payloads = [Count(account=n % 500, n=n) for n in range(10_000)]
    await create_topics(kafka, prefix)
    async with JobClient(kafka, source="test", prefix=prefix, delivery_timeout="60s") as jobs:
        worker = WorkerProcess(kafka, prefix, "crash_handlers", tmp_path, EFFECTS=str(effects))
        with worker:
            # given every job enqueued twice
            for _ in range(2):
                await asyncio.gather(
                    *(jobs.enqueue(payload, id=f"id-{payload.n}") for payload in payloads)
                )
            last = await jobs.enqueue(Count(account=0, n=-1))
            await last.result(timeout="60s")
            ledger = TopicNames(prefix).ledger("default")
            while len(await states_of(kafka, ledger)) < 10_001:  # each look is an answer of Kafka's
                assert worker.process is not None and worker.process.poll() is None, worker.log
            # when the worker is killed, its disk is lost, and all of them come again
            worker.kill()
            shutil.rmtree(tmp_path / "data")
            for _ in range(1):
                await asyncio.gather(
                    *(jobs.enqueue(payload, id=f"id-{payload.n}") for payload in payloads)
                )
            tails = [await jobs.enqueue(Count(account=key, n=-2 - key)) for key in range(50)]
            worker.start()
            for tail in tails:
                await tail.result(timeout="60s")
            assert worker.stop() == 0, worker.log
    # then none ran a second time: all of them were recorded
    runs = Counter(int(line[2]) for line in lines(effects))
    assert sum(runs[n] > 0 for n in range(10_000)) == 10_000
    assert set((await states_of(kafka, ledger)).values()) == {1}
    assert sum(runs[n] for n in range(10_000)) == 10_000
