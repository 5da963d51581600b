"""Judges a run by what its handlers did and what its topics say, whatever the engine thinks."""

from __future__ import annotations

import asyncio
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from aiokafka import ConsumerRecord
from effects import Lines
from topics import read_all

from streams.jobs.identity import JobKey
from streams.wire.state import LedgerRecord, OpenEntry, decode_ledger, decode_open
from streams.wire.topics import TopicNames

ENDED = ("end", "fail", "stop")


async def read_jobs(kafka: str, topic: str, partitions: int) -> list[ConsumerRecord]:
    """The records of a topic but for the engine's own."""
    records = await read_all(kafka, topic, partitions)
    return [r for r in records if not (r.key or b"").startswith(b"#")]


@dataclass(frozen=True, kw_only=True)
class Topics:
    """The records of one queue's topics, as they are now; those of the engine itself left out."""

    queue: list[ConsumerRecord]
    retry: list[ConsumerRecord]
    ledger: list[ConsumerRecord]
    dead: list[ConsumerRecord]

    @classmethod
    async def read(
        cls, kafka: str, prefix: str, *, queue: str = "default", partitions: int = 2
    ) -> Topics:
        """Read all of them."""
        names = TopicNames(prefix)
        topics = (names.queue(queue), names.retry(queue), names.ledger(queue), names.dead)
        read = await asyncio.gather(*(read_jobs(kafka, topic, partitions) for topic in topics))
        return cls(**dict(zip(("queue", "retry", "ledger", "dead"), read, strict=True)))

    @classmethod
    async def until_settled(
        cls,
        kafka: str,
        prefix: str,
        jobs: dict[str, set[int]],
        log: Callable[[], str],
        *,
        queue: str = "default",
        partitions: int = 2,
        timeout_s: float = 120,
    ) -> Topics:
        """Read all of them once each of these jobs, by name, is in the ledger."""
        limit = time.monotonic() + timeout_s
        while True:
            ledger = await read_jobs(kafka, TopicNames(prefix).ledger(queue), partitions)
            found = cls(queue=[], retry=[], ledger=ledger, dead=[])
            left = {name: n - found.settled(name).keys() for name, n in jobs.items()}
            if not any(left.values()):
                return await cls.read(kafka, prefix, queue=queue, partitions=partitions)
            assert time.monotonic() < limit, f"not over after {timeout_s} s: {left}\n{log()}"
            await asyncio.sleep(0.1)  # the ledger says nothing, and has to be read

    def since(self, before: Topics) -> Topics:
        """What was appended after `before` was read."""

        def later(records: list[ConsumerRecord], old: list[ConsumerRecord]) -> list[ConsumerRecord]:
            known = {(r.partition, r.offset) for r in old}
            return [r for r in records if (r.partition, r.offset) not in known]

        return Topics(
            queue=later(self.queue, before.queue),
            retry=later(self.retry, before.retry),
            ledger=later(self.ledger, before.ledger),
            dead=later(self.dead, before.dead),
        )

    def settled(self, name: str) -> dict[int, list[LedgerRecord]]:
        """The ledger records of each job with this name; a test's ids are numbers."""
        found: dict[int, list[LedgerRecord]] = defaultdict(list)
        for record in self.ledger:
            if record.value is not None and (key := JobKey.decode(record.key)).name == name:
                found[int(key.id)].append(decode_ledger(record.key, record.value))
        return dict(found)

    def opened(self, name: str) -> dict[int, list[OpenEntry | None]]:
        """The entries and tombstones of each job with this name, oldest first."""
        found: dict[int, list[OpenEntry | None]] = defaultdict(list)
        for record in self.retry:
            if (key := JobKey.decode(record.key)).name == name:
                entry = None if record.value is None else decode_open(record.key, record.value)
                found[int(key.id)].append(entry)
        return dict(found)


@dataclass(kw_only=True)
class Tally:
    """What a run came to."""

    jobs: int = 0
    starts: int = 0
    repeated: int = 0  # starts beyond those that the attempts in the ledger explain
    failed: int = 0
    stopped: int = 0
    unfinished: int = 0  # in a process that was killed
    overlapping: int = 0  # started while an attempt elsewhere had not stopped yet
    faults: Counter[str] = field(default_factory=Counter)

    def __str__(self) -> str:
        numbers = {name: value for name, value in vars(self).items() if isinstance(value, int)}
        faults = ", ".join(f"{count} x {what}" for what, count in self.faults.items())
        return ", ".join(f"{value} {name}" for name, value in numbers.items()) + f"; {faults}"


def judge_order(found: Lines, name: str, gone: Iterable[int]) -> Tally:
    """Within each key, jobs end in the order of their numbers, one at a time.

    `gone` are processes that were killed or frozen: they may be in the middle of an attempt.
    """
    tally = Tally()
    lost = {str(pid) for pid in gone}
    ended: dict[str, set[int]] = defaultdict(set)
    started: dict[str, set[int]] = defaultdict(set)
    running: dict[str, dict[str, int]] = defaultdict(dict)  # by key: process -> number
    for what, job, key, text, pid in found:
        if job != name:
            continue
        number = int(text)
        if what == "start":
            before = {n for n in started[key] if n < number}
            assert before <= ended[key], f"{number} of key {key} started before {before} ended"
            here = running[key].get(pid)
            assert here is None, f"{number} of key {key} started in {pid} while {here} ran there"
            tally.overlapping += any(other not in lost for other in running[key])
            tally.starts += 1
            started[key].add(number)
            running[key][pid] = number
        else:
            assert running[key].pop(pid, None) == number, f"{what} of {number} without a start"
            tally.failed += what == "fail"
            tally.stopped += what == "stop"
            if what == "end":
                ended[key].add(number)
    left = {(key, pid): n for key, pids in running.items() for pid, n in pids.items()}
    assert all(pid in lost for _, pid in left), f"they neither ended nor stopped: {left}"
    tally.unfinished = len(left)
    return tally


def judge_skipped(found: Lines, name: str, jobs: dict[str, list[int]]) -> None:
    """No job of a key started before all earlier ones of it had started: none was left out."""
    started: dict[str, set[int]] = defaultdict(set)
    for what, job, key, number, _ in found:
        if job == name and what == "start":
            started[key].add(int(number))
            earlier = {n for n in jobs[key] if n < int(number)}
            assert earlier <= started[key], f"{number} of key {key} started before {earlier}"


def judge_settled(topics: Topics, found: Lines, name: str, jobs: set[int], tally: Tally) -> None:
    """Every job has one ledger record, and is not run again afterwards."""
    settled = topics.settled(name)
    lost = jobs - settled.keys()
    assert not lost, f"{len(lost)} jobs are lost: {sorted(lost)[:20]}"
    assert settled.keys() == jobs, f"jobs that nobody sent: {settled.keys() - jobs}"
    twice = {n: [r.history for r in records] for n, records in settled.items() if len(records) > 1}
    assert not twice, (
        f"{len(twice)} jobs are settled more than once: {dict(list(twice.items())[:5])}"
    )
    states = Counter(records[0].state.value for records in settled.values())
    assert states == {"completed": len(jobs)}, f"not all completed: {states}"
    retrying = Counter(
        (n, entry.generation, entry.run)
        for n, entries in topics.opened(name).items()
        for entry in entries
        if entry is not None and entry.state == "retrying"
    )
    again = {key: count for key, count in retrying.items() if count > 1}
    assert not again, f"(job, generation, run) with more than one retrying entry: {again}"
    left = {n for n, entries in topics.opened(name).items() if entries[-1] is not None}
    assert not left, f"over, and still in the open table: {left}"
    judge_not_run_again(found, name, {n: records[0] for n, records in settled.items()})
    tally.jobs = len(jobs)
    tally.repeated = tally.starts - sum(len(records[0].history) for records in settled.values())


def judge_not_run_again(found: Lines, name: str, settled: dict[int, LedgerRecord]) -> None:
    """After the attempt that the ledger tells of had ended, its job never started."""
    over: dict[int, int] = {}  # by job: the line on which that attempt ended
    started: dict[int, int] = {}
    for at, (what, job, _, text, pid) in enumerate(found):
        if job != name:
            continue
        number = int(text)
        if what == "start":
            started[number] = at
        elif what == "end" and settled[number].history[-1].worker.endswith(f"-{pid}"):
            over[number] = at  # the last one: what ended there before may not have counted
    again = {
        n: f"line {at}: {' '.join(found[at])}" for n, at in started.items() if at > over.get(n, -1)
    }
    assert not again, f"started after they were settled: {again}"
