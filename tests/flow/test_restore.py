"""Dead jobs that are made anew from what was exported, and replayed with another payload."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest
from cut_log import CutLog, cuts, run_until_cut
from steps import send

from streams import JobContext, JobPayload, PermanentError, job
from streams.replay.letter_lines import dead_entry, letter_of_line, line_of
from streams.replay.letters import Letter, letter_from
from streams.testing import Sandbox
from streams.wire.commands import Command, encode_command
from streams.wire.state import OpenEntry
from streams.worker.ports import Append

RAN: list[tuple[int, int]] = []


class Pay(JobPayload, name="pay", key="account"):
    account: int
    n: int


@job
async def pay(payload: Pay, ctx: JobContext) -> int:
    RAN.append((payload.n, ctx.generation))
    if payload.n < 0:
        raise PermanentError("no")
    return payload.n


def the_letter(box: Sandbox) -> Letter:
    topic = box.cluster.names.dead
    records = [record for record in box.cluster.log.records(topic) if record.value is not None]
    return letter_from(records[-1])


async def obey(box: Sandbox, command: Command) -> None:
    say(box, command)
    await box.cluster.settle()


def sums_of(box: Sandbox) -> dict[str, int]:
    """What its workers have counted, of all partitions."""
    total = Counter[str]()
    for worker in box.cluster.workers:
        for pipeline in worker.engine.queues.values():
            assert pipeline.tables.unaccounted == 0
            total.update(pipeline.tables.told_sums())
    return dict(total)


def say(box: Sandbox, command: Command) -> None:
    key, value = encode_command(command)
    partition = box.cluster.partition_of((command.job.ordering_key or "").encode())
    topic = box.cluster.names.commands("default")
    box.cluster.log.write(Append(topic, partition, key, value))


def restoring(letter: Letter) -> Command:
    assert letter.job is not None
    return Command(kind="restore", job=letter.job, entry=dead_entry(letter))


async def test_a_payload_that_a_replay_brings_is_what_the_job_has_from_then_on() -> None:
    RAN.clear()
    async with Sandbox(pay) as box:
        handle = await box.enqueue(Pay(account=7, n=-1))
        letter = the_letter(box)
        assert letter.job is not None
        edited = b'{"account":7,"n":5}'
        await obey(box, Command(kind="replay", job=letter.job, payload=edited))
        assert RAN == [(-1, 0), (5, 1)]
        assert box.result(handle) == 5


async def test_a_dead_job_that_was_discarded_is_there_again_and_can_be_replayed() -> None:
    async with Sandbox(pay) as box:
        handle = await box.enqueue(Pay(account=7, n=-1))
        letter = letter_of_line(line_of(the_letter(box)))
        # when it stands, nothing happens
        await obey(box, restoring(letter))
        assert len(box.cluster.latest(box.cluster.names.dead)) == 1
        # when it was discarded, it comes back, in a later generation
        assert letter.job is not None
        await obey(box, Command(kind="discard", job=letter.job))
        assert box.cluster.latest(box.cluster.names.dead) == {}
        await obey(box, restoring(letter))
        (dead,) = box.jobs(state="dead")
        assert isinstance(dead, OpenEntry)
        assert (dead.generation, dead.failure) == (1, dead_entry(letter).failure)
        assert not dead.letter_pending
        assert len(box.cluster.latest(box.cluster.names.dead)) == 1
        # and a second copy of the command changes nothing
        await obey(box, restoring(letter))
        assert len(box.cluster.latest(box.cluster.names.dead)) == 1
        good = b'{"account":7,"n":3}'
        await obey(box, Command(kind="replay", job=letter.job, generation=1, payload=good))
        assert box.result(handle) == 3


async def test_what_has_completed_since_or_came_later_does_not_come_back() -> None:
    async with Sandbox(pay) as box:
        await box.enqueue(Pay(account=7, n=-1))
        letter = the_letter(box)
        assert letter.job is not None
        good = b'{"account":7,"n":3}'
        await obey(box, Command(kind="replay", job=letter.job, payload=good))
        await obey(box, restoring(letter))
        assert box.jobs(state="dead") == []
        assert len(box.jobs(state="completed")) == 1


async def test_a_letter_of_another_cluster_waits_for_nothing_that_is_not_here() -> None:
    async with Sandbox(pay) as box:
        await box.enqueue(Pay(account=7, n=-1))
        letter = the_letter(box)
    assert letter.job is not None
    async with Sandbox(pay) as other:
        far = replace(letter, origin=(letter.origin[0], letter.origin[1], 1_000_000))
        await obey(other, restoring(far))
        (dead,) = other.jobs(state="dead")
        assert isinstance(dead, OpenEntry)
        assert dead.generation == 0
        good = b'{"account":7,"n":3}'
        await obey(other, Command(kind="replay", job=letter.job, payload=good))
        assert len(other.jobs(state="completed")) == 1


async def test_a_command_that_is_no_entry_is_passed_over() -> None:
    async with Sandbox(pay) as box:
        topic = box.cluster.names.commands("default")
        letter_key = b'["pay","pay:7","x"]'
        value = b'{"kind":"restore","entry":"nonsense"}'
        box.cluster.log.write(Append(topic, 0, letter_key, value))
        await box.cluster.settle()
        await box.enqueue(Pay(account=7, n=1))
        assert len(box.jobs(state="completed")) == 1


@pytest.mark.parametrize("disk", ["w1", "w2"])
async def test_wherever_a_restore_is_cut_off_its_job_is_counted_once(disk: str) -> None:
    async def check(cut: tuple[int, int] | None) -> CutLog:
        box = Sandbox(pay)
        worker = await box.cluster.start_worker("w1")
        send(box.cluster, Pay(account=7, n=-1), "id")
        await box.cluster.settle()
        letter = letter_of_line(line_of(the_letter(box)))
        assert letter.job is not None
        await obey(box, Command(kind="discard", job=letter.job))
        await box.cluster.kill(worker)
        # given a crash in the middle of it
        log = CutLog(box.cluster.log, cut)
        worker = await box.cluster.start_worker("w1", log)
        await box.cluster.settle()
        log.armed = True
        say(box, restoring(letter))
        await run_until_cut(box.cluster, log, 60_000)
        assert log.is_cut.is_set() == (cut is not None)
        await box.cluster.kill(worker)
        # when another one goes on
        worker = await box.cluster.start_worker(disk)
        await box.cluster.settle()
        (dead,) = box.jobs(state="dead")
        told = sums_of(box)
        assert (told["accepted"], told["dead"], told["discarded"]) == (1, 1, 0), cut
        # and it ends once
        good = b'{"account":7,"n":3}'
        generation = dead.generation
        await obey(box, Command(kind="replay", job=letter.job, generation=generation, payload=good))
        told = sums_of(box)
        assert (told["accepted"], told["completed"], told["discarded"]) == (1, 1, 0), cut
        await box.cluster.kill(worker)
        return log

    for cut in cuts((await check(None)).sizes):
        await check(cut)
