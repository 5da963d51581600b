"""What tests do with a sandbox's world step by step: send, crash, restart, wait."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from streams import JobPayload
from streams.client import Handle
from streams.jobs.identity import JobKey
from streams.jobs.registry import Registry
from streams.testing.cluster import MemoryCluster
from streams.testing.sandbox import Sandbox
from streams.wire.commands import Command, encode_command
from streams.wire.envelope import Envelope, encode
from streams.worker.pipeline import Pipeline
from streams.worker.ports import Append, Log

clusters: list[MemoryCluster] = []  # of the test that runs; handlers know the time by the first


def cluster_of(*handlers: Any, partitions: int = 4) -> MemoryCluster:
    """A cluster without workers yet, for tests in which time passes while jobs run."""
    definitions = [each.__job_definition__ for each in handlers]
    clusters[:] = [MemoryCluster(Registry.build(definitions, ["default"]), partitions=partitions)]
    return clusters[0]


def time_now() -> int:
    """The time of the cluster of the test that runs."""
    return clusters[0].clock.now()


async def for_a_while(ms: int) -> None:
    """What a handler does that takes so long."""
    over = asyncio.Event()
    alarm = clusters[0].clock.call_at(time_now() + ms, over.set)
    try:
        await over.wait()
    finally:
        alarm.cancel()


async def rest(cluster: MemoryCluster) -> None:
    """Give the workers time to do what they should, or should not."""
    cluster.clock.set(cluster.clock.now())
    for _ in range(40):
        for worker in cluster.workers:
            worker.pump()
        await asyncio.sleep(0)


async def pass_time(cluster: MemoryCluster, ms: int) -> None:
    """Let time pass, and do not wait for jobs that wait for it."""
    until = cluster.clock.now() + ms
    await rest(cluster)
    while (now := cluster.clock.now()) < until:
        due = cluster.clock.next_alarm()
        cluster.clock.set(until if due is None else min(max(due, now + 1), until))
        await rest(cluster)


def over(cluster: MemoryCluster) -> int:
    """How many jobs of the default queue the ledger has."""
    ledger = cluster.latest(cluster.names.ledger("default"))
    return sum(not key.startswith(b"#") for key in ledger)


def send(
    cluster: MemoryCluster,
    payload: JobPayload,
    id: str | None = None,
    *,
    time: int | None = None,
    delay: int | None = None,
) -> JobKey:
    """Write a job to the log, as a sender would, and let nothing happen yet.

    Without an `id` it is the payload's number `n`, as in "id-7".
    """
    raw_key, name, now = payload.ordering_key(), payload.__job_name__, cluster.clock.now()
    envelope = Envelope(
        id=f"id-{payload.model_dump()['n']}" if id is None else id,
        name=name,
        source="test",
        time=now if time is None else time,
        queue=payload.__queue__,
        payload=payload.model_dump_json().encode(),
        key=None if raw_key is None else f"{payload.__key_scope__ or name}:{raw_key}",
        not_before=None if delay is None else now + delay,
    )
    return put(cluster, envelope)


def put(cluster: MemoryCluster, envelope: Envelope, partition: int | None = None) -> JobKey:
    """Write a job as it crosses the wire; without a `partition` to the one of its key."""
    key, value, headers = encode(envelope)
    topic = cluster.names.queue(envelope.queue or "default")
    cluster.log.write(Append(topic, partition, key, value, headers))
    return JobKey(name=envelope.name, ordering_key=envelope.key, id=envelope.id)


def ask(
    cluster: MemoryCluster,
    kind: str,
    job: Handle | JobKey,
    *,
    generation: int = 0,
    reason: str = "asked",
    due: int = 0,
) -> None:
    """Write a command to the log, as a client would, and let nothing happen yet."""
    job = job.job if isinstance(job, Handle) else job
    command = Command(kind=kind, job=job, generation=generation, reason=reason, due=due)
    key, value = encode_command(command)
    partition = cluster.partition_of((job.ordering_key or job.id).encode())
    cluster.log.write(Append(cluster.names.commands("default"), partition, key, value))


async def kill_all(box: Sandbox) -> None:
    """Crash all workers."""
    for worker in list(box.cluster.workers):
        await box.cluster.kill(worker)


async def crash(
    box: Sandbox, name: str = "w1", *, loses_disk: bool = False, log: Log | None = None
) -> None:
    """Crash all workers and start one; "w1" finds what was on disk."""
    await kill_all(box)
    if loses_disk:
        box.cluster.lose_disks()
    box._worker = await box.cluster.start_worker(name, log=log)


async def restart(box: Sandbox, *, loses_disk: bool = False) -> None:
    """Crash the worker, start it again, and let it go on until nothing moves."""
    await crash(box, loses_disk=loses_disk)
    await box.cluster.settle()


async def until(condition: Callable[[], bool]) -> None:
    """Let others go on until it is so."""
    async with asyncio.timeout(30):
        while not condition():
            await asyncio.sleep(0)


def pipeline(box: Sandbox) -> Pipeline:
    """What owns the only partition of the default queue, or the first one."""
    return box.cluster.workers[0].engine.queues[("default", 0)]
