"""The loss audit, beside schedules in which everything goes wrong, and of tampered topics."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace

import orjson
import pytest

from streams.audit import fault as f
from streams.audit.audit import Report
from streams.audit.checkpoint import Checkpoint
from streams.audit.rules import Rules
from streams.testing import workload
from streams.testing.audited import COMPACTED, audit_memory
from streams.testing.schedule import Schedule, Size
from streams.testing.simulator import quietly
from streams.testing.workload import QUEUE
from streams.testing.world import World
from streams.wire.envelope import Record
from streams.worker.ports import Append

OVER = ("completed", "discarded", "cancelled", "expired")


def _rules(world: World) -> Rules:
    definitions = world.registry.definitions()
    return Rules(
        now=world.clock.now(),
        unique_for_ms=workload.UNIQUE_MS,
        unique_for={each.name: each.unique_for_ms for each in definitions},
    )


def _audit(world: World, checkpoint: Checkpoint | None = None, part: int = 100_000) -> Report:
    return audit_memory(
        world.log,
        world.names,
        [QUEUE],
        rules=_rules(world),
        commits=world.commits,
        checkpoint=checkpoint,
        part=part,
    )


@contextmanager
def _schedule(seed: int) -> Iterator[tuple[World, Schedule]]:
    world = World(seed)
    workload.current[:] = [world]
    with quietly():
        try:
            schedule = Schedule(world, Size())
            schedule.arrange()
            yield world, schedule
        finally:
            workload.current.clear()
            world.loop.close()


def _run(world: World, schedule: Schedule) -> None:
    world.loop.run()
    schedule.replay_some(0.5)
    world.loop.run()


@pytest.mark.parametrize("first", range(0, 80, 20))
def test_it_is_silent_whenever_it_looks_and_counts_what_became_of_all(first: int):
    pending = 0
    for seed in range(first, first + 20):
        with _schedule(seed) as (world, schedule), Checkpoint(None, "") as checkpoint:
            rng = random.Random(seed)
            seen: list[Report] = []

            # given audits at any moment: one that goes on from the last one, and a full one
            def look(
                world: World = world,
                checkpoint: Checkpoint = checkpoint,
                seen: list[Report] = seen,
                rng: random.Random = rng,
            ) -> None:
                part = rng.choice((50, 100_000))
                seen += [_audit(world, checkpoint, part), _audit(world, part=part)]

            for _ in range(6):
                world.clock.call_at(world.clock.now() + rng.randint(1, 120_000), look)
            _run(world, schedule)
            look()
            # then none of them finds a fault, whatever happens meanwhile
            assert [r.faults for r in seen if r.faults] == [], seed
            # and in the end they have counted the same, which is what the topics say
            last, full = (report.of_queue(QUEUE) for report in seen[-2:])
            assert last == full, seed
            ended = {
                (record.key, time, state)
                for record in world.log.records(world.names.ledger(QUEUE))
                if record.value is not None and record.key[:1] != b"#"
                for time, state in [_time_and_state(record)]
            }
            for state in OVER:
                assert getattr(full, state) == sum(s == state for *_, s in ended), (seed, state)
            pending += sum(report.of_queue(QUEUE).waiting for report in seen)
    assert pending > 100  # they have looked at what was not over, too


def _time_and_state(record: Record) -> tuple[int, str]:
    m = orjson.loads(record.value or b"")
    return m["time"], m["state"]


# -- one job is tampered with ----------------------------------------------------------------------

Plant = Callable[[World, random.Random], Record | None]


@contextmanager
def _tampering(world: World) -> Iterator[None]:
    """What is written in it is seen by audits alone."""
    log = world.log
    topics = {place: list(records) for place, records in log.topics.items()}
    starts, on_append = dict(log.starts), log.on_append
    log.on_append = lambda record: None
    try:
        yield
    finally:
        log.on_append = on_append
        for place, records in topics.items():
            log.topics[place][:] = records
        log.starts.clear()
        log.starts.update(starts)


def _standing(world: World, topic: str) -> list[Record]:
    latest = {record.key: record for record in world.log.records(topic)}
    return [r for r in latest.values() if r.value is not None and (r.key or b"#")[:1] != b"#"]


def _choose(rng: random.Random, records: list[Record]) -> Record | None:
    return rng.choice(records) if records else None


def _tombstone(world: World, victim: Record | None) -> Record | None:
    if victim is not None:
        world.log.write(Append(victim.topic, victim.partition, victim.key, None))
    return victim


def _remove_entry(world: World, rng: random.Random) -> Record | None:
    over = {record.key for record in _standing(world, world.names.ledger(QUEUE))}
    entries = [r for r in _standing(world, world.names.retry(QUEUE)) if r.key not in over]
    return _tombstone(world, _choose(rng, entries))


def _remove_ending(world: World, rng: random.Random) -> Record | None:
    return _tombstone(world, _choose(rng, _standing(world, world.names.ledger(QUEUE))))


def _compact_ending(world: World, rng: random.Random) -> Record | None:
    """Its tombstone has done its work: of a job that was never open, nothing is left."""
    names = world.names
    opened = {record.key for record in world.log.records(names.retry(QUEUE))}
    read = {
        _id(record)
        for record in world.log.records(names.queue(QUEUE))
        if record.offset < world.commits.get((record.topic, record.partition), 0)
    }
    endings = _standing(world, names.ledger(QUEUE))
    victim = _choose(
        rng, [r for r in endings if r.key not in opened and orjson.loads(r.key or b"")[2] in read]
    )
    if victim is not None:
        log = world.log.topics[(victim.topic, victim.partition)]
        log[:] = [replace(r, key=COMPACTED, value=b"") if r.key == victim.key else r for r in log]
    return victim


def _settle_again(world: World, rng: random.Random) -> Record | None:
    victim = _choose(rng, _standing(world, world.names.ledger(QUEUE)))
    if victim is not None:
        value = orjson.dumps({**orjson.loads(victim.value or b""), "attempts": 77})
        world.log.write(Append(victim.topic, victim.partition, victim.key, value))
    return victim


def _remove_untaken(world: World, rng: random.Random) -> Record | None:
    """The first record that is not acknowledged, if state does not know it either."""
    names = world.names
    known = {r.key for t in (names.ledger(QUEUE), names.retry(QUEUE)) for r in world.log.records(t)}
    ids = {orjson.loads(key)[2] for key in known if key and key[:1] == b"["}
    for partition in range(world.log.partitions):
        place = (names.queue(QUEUE), partition)
        commit = world.commits.get(place, 0)
        for record in world.log.topics[place][commit : commit + 1]:
            if _id(record) not in {"", *ids}:
                world.log.starts[place] = commit + 1
                return record
    return None


def _id(record: Record) -> str:
    return (dict(record.headers).get("ce_id") or b"").decode()


def _tampered(
    seed: int, plant: Plant, *, times: int, has_checkpoint: bool
) -> Iterator[tuple[Record, Report, Report]]:
    """Two audits of what was planted, each time that there was something to do it to."""
    with _schedule(seed) as (world, schedule):
        rng = random.Random(seed)
        reports: list[tuple[Record, Report, Report]] = []

        def tamper() -> None:
            with Checkpoint(None, "") as checkpoint, _tampering(world):
                kept = checkpoint if has_checkpoint else None
                assert _audit(world, kept).faults == []
                victim = plant(world, rng)
                if victim is not None:
                    reports.append((victim, _audit(world, kept), _audit(world, kept)))

        for _ in range(times):
            world.clock.call_at(world.clock.now() + rng.randint(3_000, 60_000), tamper)
        _run(world, schedule)
        yield from reports


@pytest.mark.parametrize(
    ("plant", "why", "has_checkpoint"),
    [
        (_remove_entry, f.TAKEN_FROM_RETRY, False),
        (_remove_entry, f.TAKEN_FROM_RETRY, True),
        (_remove_ending, f.TAKEN_FROM_LEDGER, False),
        (_remove_ending, f.TAKEN_FROM_LEDGER, True),
        (_compact_ending, f.NOWHERE, False),
        (_settle_again, f.SETTLED_TWICE, False),
        (_settle_again, f.SETTLED_TWICE, True),
    ],
)
def test_it_finds_the_one_job_that_was_tampered_with(plant: Plant, why: str, has_checkpoint: bool):
    found = 0
    for seed in range(15):
        for victim, *reports in _tampered(seed, plant, times=4, has_checkpoint=has_checkpoint):
            # then it tells this job, and no other; again the next time
            for report in reports:
                assert [(x.why, x.key) for x in report.faults] == [(why, victim.key)], seed
            found += 1
    assert found >= 30


def _trim_retry(world: World, rng: random.Random) -> Record | None:
    """Retention takes an entry, and all that is before it."""
    over = {record.key for record in _standing(world, world.names.ledger(QUEUE))}
    entries = [r for r in _standing(world, world.names.retry(QUEUE)) if r.key not in over]
    victim = _choose(rng, entries)
    if victim is not None:
        world.log.starts[(victim.topic, victim.partition)] = victim.offset + 1
    return victim


@pytest.mark.parametrize("has_checkpoint", [False, True])
def test_it_finds_what_retention_took_from_the_retry_topic(has_checkpoint: bool):
    found = 0
    for seed in range(15):
        for victim, *reports in _tampered(
            seed, _trim_retry, times=4, has_checkpoint=has_checkpoint
        ):
            for report in reports:
                told = {x.why for x in report.faults}
                assert f.RETRY_TRIMMED in told, seed
                # then with a checkpoint the job is named, and nothing else is wrong
                if has_checkpoint:
                    assert told == {f.RETRY_TRIMMED, f.ENTRY_GONE}, seed
                    assert victim.key in {x.key for x in report.faults}, seed
                    found += 1
    assert found >= 30 * has_checkpoint


def test_it_finds_a_record_that_was_removed_before_it_was_taken():
    found = 0
    for seed in range(30):
        for has_checkpoint in (False, True):
            for victim, report, _ in _tampered(
                seed, _remove_untaken, times=30, has_checkpoint=has_checkpoint
            ):
                # then its offset is told, and with a checkpoint, which knew the job, its id
                assert f.TRIMMED_TOO_FAR in {x.why for x in report.faults}, seed
                if has_checkpoint:
                    told = [x.job[2] for x in report.faults if x.why == f.TAKEN_FROM_QUEUE]
                    assert told == [_id(victim)], seed
                    found += 1
    assert found >= 10
