"""Seeded schedules of jobs and faults on the real pipeline, and the oracle that judges them.

A schedule enqueues jobs with a few keys, some of which fail, and crashes the worker in the middle
of an append: nothing, a part, or all of it is written, and the worker never learns which. Copies
of records arrive late. A seed replays exactly.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field

from streams.contracts import JobPayload
from streams.jobs.context import JobContext
from streams.jobs.decorator import job
from streams.jobs.identity import JobKey
from streams.jobs.registry import Registry
from streams.jobs.retry import Fixed, Retry
from streams.testing.cluster import MemoryCluster
from streams.testing.memory import MemoryLog
from streams.wire.envelope import Envelope, Record, encode
from streams.wire.state import decode_ledger, decode_open
from streams.worker.ports import Append

QUEUE = "default"


class SimulatedJob(JobPayload, name="simulated", key="account", queue=QUEUE):
    """What the schedule's jobs carry."""

    account: int
    n: int
    fails: int


@dataclass(slots=True)
class Report:
    """What a schedule showed; no faults means that every guarantee held."""

    seed: int
    jobs: int = 0
    crashes: int = 0
    copies: int = 0
    attempts: int = 0
    faults: list[str] = field(default_factory=list)


class CrashingLog:
    """The log as one worker sees it: an append of its choice never returns."""

    def __init__(self, log: MemoryLog, chance: random.Random, crash_after: int) -> None:
        self.crashed = False
        self._log = log
        self._random = chance
        self._left = crash_after

    async def append(self, records: Sequence[Append]) -> Sequence[int]:
        """Append, or write a prefix and hang for ever."""
        if self.crashed:
            await asyncio.Event().wait()
        self._left -= 1
        if self._left < 0:
            self.crashed = True
            for record in records[: self._random.randint(0, len(records))]:
                self._log.write(record)
            await asyncio.Event().wait()
        return await self._log.append(records)

    def read(self, topic: str, partition: int, start: int) -> AsyncIterator[Sequence[Record]]:
        """As the log does."""
        return self._log.read(topic, partition, start)

    async def end(self, topic: str, partition: int) -> int:
        """As the log does."""
        return await self._log.end(topic, partition)


class Oracle:
    """Watches handlers: one at a time for a key, and none before its predecessors are over."""

    def __init__(self) -> None:
        self.faults: list[str] = []
        self.attempts = 0
        self.expected: dict[int, list[int]] = defaultdict(list)  # by account, in order
        self._ended: set[int] = set()
        self._running: dict[int, int] = {}

    def crash(self) -> None:
        """What ran has stopped."""
        self._running.clear()

    def start(self, payload: SimulatedJob) -> None:
        """An attempt starts."""
        self.attempts += 1
        if payload.account in self._running:
            self.faults.append(
                f"job {payload.n} started beside {self._running[payload.account]} of its key"
            )
        for earlier in self.expected[payload.account]:
            if earlier == payload.n:
                break
            if earlier not in self._ended:
                self.faults.append(f"job {payload.n} started before {earlier} of its key was over")
        self._running[payload.account] = payload.n

    def end(self, payload: SimulatedJob, *, over: bool) -> None:
        """An attempt ended; `over` if no other follows."""
        self._running.pop(payload.account, None)
        if over:
            self._ended.add(payload.n)


async def simulate(seed: int, *, jobs: int = 50, keys: int = 8, crashes: int = 3) -> Report:
    """Run one schedule to its end and judge it."""
    chance = random.Random(seed)
    oracle = Oracle()
    report = Report(seed, jobs=jobs)

    @job(retry=Retry(attempts=3, backoff=Fixed("2s")))
    async def simulated(payload: SimulatedJob, ctx: JobContext) -> int:
        oracle.start(payload)
        for _ in range(chance.randint(0, 3)):
            await asyncio.sleep(0)
        failed = ctx.attempt <= payload.fails
        oracle.end(payload, over=not failed or ctx.attempt == 3)
        if failed:
            raise ValueError("as the schedule says")
        return payload.n

    definition = simulated.__job_definition__  # type: ignore[attr-defined]
    cluster = MemoryCluster(Registry.build([definition], [QUEUE]))
    topic = cluster.names.queue(QUEUE)
    waiting = list(range(jobs))
    keyed: list[JobKey] = []
    while waiting or report.crashes < crashes:
        log = CrashingLog(cluster.log, chance, chance.randint(1, 12))
        will_crash = report.crashes < crashes

        def crashed(log: CrashingLog = log) -> bool:
            return log.crashed

        name = f"w{chance.randint(1, 2)}"
        starting = asyncio.create_task(cluster.start_worker(name, log if will_crash else None))
        while not starting.done() and not log.crashed:
            await asyncio.sleep(0)

        for _ in range(min(len(waiting), chance.randint(5, 25))):
            n = waiting.pop(0)
            keyed.append(_enqueue(cluster, chance, oracle, n, keys))
            if chance.random() < 0.1:
                original = chance.choice(cluster.log.records(topic))
                cluster.log.write(
                    Append(
                        topic, original.partition, original.key, original.value, original.headers
                    )
                )
                report.copies += 1
        await cluster.advance_to(cluster.clock.now() + chance.choice((0, 1_000, 3_000)), crashed)
        if not waiting and not log.crashed:
            await cluster.advance_to(cluster.clock.now() + 60_000, crashed)
        report.crashes += 1
        starting.cancel()  # it may have crashed in its recovery
        for worker in list(cluster.workers):
            await cluster.kill(worker)
        oracle.crash()
        if chance.random() < 0.3:
            cluster.lose_disks()
    await cluster.start_worker("w3")
    await cluster.advance_to(cluster.clock.now() + 600_000)
    report.faults = oracle.faults + _judge(cluster, keyed)
    report.attempts = oracle.attempts
    for worker in list(cluster.workers):
        await cluster.kill(worker)
    return report


def _enqueue(
    cluster: MemoryCluster, chance: random.Random, oracle: Oracle, n: int, keys: int
) -> JobKey:
    account = chance.randrange(keys)
    fails = chance.choices((0, 1, 2, 3), (80, 10, 5, 5))[0]
    payload = SimulatedJob(account=account, n=n, fails=fails)
    oracle.expected[account].append(n)
    envelope = Envelope(
        id=f"job-{n}",
        name="simulated",
        source="simulator",
        time=cluster.clock.now(),
        queue=QUEUE,
        key=f"simulated:{account}",
        payload=payload.model_dump_json().encode(),
    )
    key, value, headers = encode(envelope)
    cluster.log.write(Append(cluster.names.queue(QUEUE), None, key, value, headers))
    return JobKey(name="simulated", ordering_key=envelope.key, id=envelope.id)


def _judge(cluster: MemoryCluster, keyed: Sequence[JobKey]) -> list[str]:
    """Nothing lost, nothing settled twice, every dead job has its letter."""
    faults: list[str] = []
    names = cluster.names
    settled: Counter[bytes] = Counter()
    for record in cluster.log.records(names.ledger(QUEUE)):
        if record.value is not None:
            decode_ledger(record.key or b"", record.value)
            settled[record.key or b""] += 1
    open_now = {
        key: decode_open(key, value)
        for key, value in cluster.latest(names.retry(QUEUE)).items()
        if not key.startswith(b"#")
    }
    letters = len(cluster.latest(names.dead))
    dead = 0
    for one in keyed:
        key = one.encode()
        entry = open_now.pop(key, None)
        if entry is not None and entry.state == "dead" and not settled[key]:
            dead += 1
        elif entry is not None:
            faults.append(f"{one.id} is still {entry.state}, with {settled[key]} ledger records")
        elif settled[key] != 1:
            faults.append(f"{one.id} has {settled[key]} ledger records instead of one")
    if letters != dead:
        faults.append(f"{letters} dead letters for {dead} dead jobs")
    for (topic, partition), records in cluster.log.topics.items():
        committed = cluster.commits.get((topic, partition), 0)
        if topic == names.queue(QUEUE) and committed != len(records):
            faults.append(f"partition {partition} is committed to another place than its end")
    return faults
