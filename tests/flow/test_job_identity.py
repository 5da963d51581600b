"""Which job is which, and how far it is: copies, crashes, replays and cancels change nothing."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from dataclasses import replace

import pytest
from cut_log import CutLog, cuts, run_until_cut
from steps import ask, crash, pipeline, send

from streams import (
    Discard,
    Event,
    Fixed,
    JobContext,
    JobPayload,
    PermanentError,
    Retry,
    RetryAfter,
    Snooze,
    job,
)
from streams.jobs.identity import JobKey
from streams.jobs.lifecycle import Happening
from streams.testing.sandbox import Sandbox
from streams.wire.envelope import Envelope, decode, encode
from streams.wire.state import LedgerRecord, OpenEntry, decode_ledger
from streams.worker.ports import Append

QUEUE, DEAD = "jobs.default", "jobs.dead"
HOUR = 3_600_000


class Step(JobPayload, name="step", key="account"):
    account: int
    n: int = 0


class Loose(JobPayload, name="loose"):
    n: int


class Invoice(JobPayload, name="invoice", key="order", key_scope="order"):
    order: int


class Shipment(JobPayload, name="shipment", key="order", key_scope="order"):
    order: int


class Signed(Event, type="user.signed_up", key="user_id"):
    user_id: int


STEP = JobKey(name="step", ordering_key="step:1", id="one")


def only(box: Sandbox, key: JobKey) -> OpenEntry | LedgerRecord:
    """What state says about a job, in one place only, but for what an id was used for before."""
    found = [each for each in box.jobs() if each.job == key]
    latest = max(found, key=lambda each: each.position)
    assert all(each.time < latest.time for each in found if each is not latest)
    return latest


def letters(box: Sandbox) -> list[bytes]:
    """The keys of the dead letters that stand."""
    return sorted(box.cluster.latest(DEAD))


def happened(box: Sandbox, happening: Happening) -> int:
    return sum(event.happening is happening for event in box.events)


async def turns(box: Sandbox, condition: Callable[[], bool]) -> None:
    """Let the workers go on, while jobs run that do not end."""
    async with asyncio.timeout(10):
        while not condition():
            for worker in box.cluster.workers:
                worker.pump()
            await asyncio.sleep(0)


# -- a crash between any two of the ordered writes ---------------------------------------------


def end_as(how: str) -> None:
    """Raise what ends a run so."""
    match how:
        case "retrying":
            raise RetryAfter("1s")
        case "sleeping":
            raise Snooze("1s", blocks_key=True)
        case "dead":
            raise PermanentError("for good")
        case "discarded":
            raise Discard("of no use")


class Script:
    """Runs end as the script says, and it keeps what ran."""

    def __init__(self, *endings: str) -> None:
        self.endings = endings
        self.ran: dict[int, list[str]] = {}  # by n: how its runs ended
        self.lives: list[list[tuple[int, int]]] = [[]]  # (account, n) of each run, by stretch

    @property
    def handler(self) -> object:
        @job(retry=Retry(attempts=9))
        async def step(payload: Step) -> None:
            runs = self.ran.setdefault(payload.n, [])
            how = self.endings[len(runs)] if len(runs) < len(self.endings) else "completed"
            runs.append(how)
            self.lives[-1].append((payload.account, payload.n))
            end_as(how)

        return step

    @property
    def order(self) -> list[tuple[int, int]]:
        """(account, n) of each run."""
        return [run for life in self.lives for run in life]


async def crash_at(
    script: Script,
    cut: tuple[int, int] | None,
    disk: str,
    *,
    prepare: Callable[[Sandbox], None],
    do: Callable[[Sandbox], None],
) -> tuple[Sandbox, CutLog]:
    """Prepare, cut the log in what `do` brings about, crash, and let a new worker end it all."""
    box = Sandbox(script.handler, queues=("default",), partitions=1)
    log = CutLog(box.cluster.log, cut)
    worker = await box.cluster.start_worker("w1", log)
    prepare(box)
    await box.cluster.advance_to(box.cluster.clock.now() + 500)
    script.lives.append([])
    log.armed = True
    do(box)
    await run_until_cut(box.cluster, log, 60_000)
    assert log.is_cut.is_set() == (cut is not None)
    await box.cluster.kill(worker)
    script.lives.append([])
    worker = await box.cluster.start_worker(disk)
    await box.cluster.advance_to(box.cluster.clock.now() + 60_000)
    await box.cluster.kill(worker)
    return box, log


OUTCOMES = ("completed", "retrying", "sleeping", "dead", "discarded")
OTHERS = ("completed", "retrying", "dead")
JOBS = (Step(account=1, n=1), Step(account=1, n=2), Step(account=2, n=3))


def send_all(box: Sandbox) -> None:
    for payload in JOBS:
        send(box.cluster, payload, f"id-{payload.n}")


def assert_each_is_in_one_place(box: Sandbox, script: Script) -> None:
    """Each job is what its last run made of it: one final record, and a letter if it is dead."""
    final = Counter(
        decode_ledger(record.key or b"", record.value or b"").job.id
        for record in box.cluster.log.records("jobs.default.ledger")
        if not record.key.startswith(b"#")
    )
    for payload in JOBS:
        id_ = f"id-{payload.n}"
        job_ = only(box, JobKey(name="step", ordering_key=f"step:{payload.account}", id=id_))
        last = script.ran[payload.n][-1]
        assert job_.state == last
        assert final[id_] == (last != "dead")
    dead = [payload.n for payload in JOBS if script.ran[payload.n][-1] == "dead"]
    assert len(letters(box)) == len(dead)
    # and each stretch ran the jobs of a key in order: a crash repeats a suffix, in order
    for life in (*script.lives, script.order[-len(JOBS) :]):
        ran = [n for account, n in life if account == 1]
        assert ran == sorted(ran)


@pytest.mark.parametrize("disk", ["w1", "w2"])
@pytest.mark.parametrize("is_open", [False, True])
@pytest.mark.parametrize(("first", "second"), [(a, b) for a in OUTCOMES for b in OTHERS if a != b])
async def test_a_crash_between_any_two_writes_and_a_rerun_that_ends_otherwise(
    first: str, second: str, is_open: bool, disk: str
):
    # given jobs, in the open table already or not
    before = ("retrying",) if is_open else ()

    def prepare(box: Sandbox) -> None:
        if is_open:
            send_all(box)

    def do(box: Sandbox) -> None:
        if not is_open:
            send_all(box)

    # when a worker without a crash shows which appends there are
    script = Script(*before, first)
    box, log = await crash_at(script, None, disk, prepare=prepare, do=do)
    assert_each_is_in_one_place(box, script)
    # and others crash within each of them
    for cut in cuts(log.sizes):
        script = Script(*before, first, second)
        box, _ = await crash_at(script, cut, disk, prepare=prepare, do=do)
        # then whatever the rerun came to is all that is left
        assert_each_is_in_one_place(box, script)


@pytest.mark.parametrize("disk", ["w1", "w2"])
@pytest.mark.parametrize("second", ["completed", "dead", "retrying"])
@pytest.mark.parametrize("kind", ["replay", "discard"])
async def test_a_crash_between_any_two_writes_of_a_replay_or_a_discard(
    kind: str, second: str, disk: str
):
    def do(box: Sandbox) -> None:
        for payload in JOBS:
            ask(
                box.cluster,
                kind,
                JobKey(name="step", ordering_key=f"step:{payload.account}", id=f"id-{payload.n}"),
            )

    async def check(cut: tuple[int, int] | None) -> CutLog:
        script = Script("dead", second)
        box, log = await crash_at(script, cut, disk, prepare=send_all, do=do)
        if kind == "replay":
            assert_each_is_in_one_place(box, script)
            assert {job_.generation for job_ in box.jobs()} == {1}
        else:
            # An unresolved job stays what it is: nothing runs for a discard.
            assert {job_.state for job_ in box.jobs()} == {"discarded"}
            assert set(map(len, script.ran.values())) == {1}
            assert letters(box) == []
        return log

    log = await check(None)
    for cut in cuts(log.sizes):
        await check(cut)


# -- runs and copies ---------------------------------------------------------------------------


@pytest.mark.parametrize("blocks", [False, True])
async def test_a_snooze_uses_no_attempt_and_blocks_its_key_if_it_says_so(blocks: bool):
    order: list[tuple[int, int]] = []

    @job(retry=Retry(attempts=1))
    async def step(payload: Step, ctx: JobContext) -> None:
        order.append((payload.n, ctx.attempt))
        if payload.n == 1 and len(order) <= 3:
            raise Snooze("10s", blocks_key=blocks)

    async with Sandbox(step, partitions=1) as box:
        key = (await box.enqueue(Step(account=1, n=1))).job
        await box.enqueue(Step(account=1, n=2))
        # while it sleeps its key waits for it, or does not
        asleep = only(box, key)
        assert (asleep.state, asleep.attempts, asleep.run) == ("sleeping", 0, 1)
        assert order == ([(1, 1)] if blocks else [(1, 1), (2, 1)])
        await box.advance("1m")
        # then it was always its first attempt, and each return a run
        assert [attempt for _, attempt in order] == [1] * len(order)
        over = only(box, key)
        snoozes = len([n for n, _ in order if n == 1]) - 1
        assert (over.state, over.attempts, over.run) == ("completed", 1, snoozes)
        assert [a.outcome for a in over.history] == ["sleeping"] * snoozes + ["completed"]
        assert [n for n, _ in order] == ([1, 1, 1, 1, 2] if blocks else [1, 2, 1, 1])


async def test_a_failure_after_a_snooze_is_the_first_attempt():
    script = Script("sleeping", "retrying", "sleeping", "dead")
    async with Sandbox(script.handler, partitions=1) as box:
        key = (await box.enqueue(Step(account=1, n=1))).job
        await box.advance("1m")
        dead = only(box, key)
        assert (dead.state, dead.attempts, dead.run) == ("dead", 2, 3)


@pytest.mark.parametrize("state", ["retrying", "sleeping", "scheduled", "dead", "completed"])
async def test_a_late_copy_of_the_first_run_changes_nothing(state: str):
    script = Script("retrying", state)
    async with Sandbox(script.handler, partitions=1) as box:
        delay = HOUR if state == "scheduled" else None
        sent = box.cluster.clock.now()
        key = send(box.cluster, Step(account=1, n=1), "one", delay=delay)
        await box.advance("1s")
        before = only(box, key)
        assert before.state == state
        runs = list(script.order)
        # when the record of its first run comes again, to this worker and to the next
        send(box.cluster, Step(account=1, n=1), "one", time=sent, delay=delay)
        await box.cluster.settle()
        await crash(box, "w2")
        send(box.cluster, Step(account=1, n=1), "one", time=sent, delay=delay)
        await box.cluster.settle()
        # then it is dropped
        assert only(box, key) == before
        assert script.order == runs
        assert happened(box, Happening.DUPLICATE) == 2


async def test_a_copy_of_a_job_that_runs_or_waits_in_hand_is_dropped():
    held = asyncio.Event()
    ran: list[int] = []

    @job
    async def step(payload: Step) -> None:
        await held.wait()
        ran.append(payload.n)

    async with Sandbox(step, partitions=1) as box:
        for n in (1, 2, 1, 2):
            send(box.cluster, Step(account=1, n=n), f"id-{n}", time=box.cluster.clock.now())
        await turns(box, lambda: happened(box, Happening.DUPLICATE) == 2)
        held.set()
        await box.cluster.settle()
        assert ran == [1, 2]


@pytest.mark.parametrize("is_over", [False, True])
async def test_what_an_earlier_owner_writes_late_takes_no_job_back(is_over: bool):
    script = Script("retrying", "retrying", "completed" if is_over else "retrying")
    async with Sandbox(script.handler, partitions=1) as box:
        # given a job of which one worker has written a run, and the next one more than that
        key = send(box.cluster, Step(account=1, n=1), "one")
        await box.cluster.settle()
        records = box.cluster.log.topics[("jobs.default.retry", 0)]
        (first,) = [record for record in records if record.key == key.encode()]
        await crash(box, "w2")
        await box.advance("2s" if is_over else "1s")
        before = only(box, key)
        assert before.run == 2
        # when the first one's record comes late, and the second ends before it notices
        for worker in list(box.cluster.workers):
            await box.cluster.kill(worker)
        late = Append("jobs.default.retry", 0, first.key, first.value, first.headers)
        box.cluster.log.write(late)
        await crash(box, "w3")
        # then the job is as far as it was, also for those who read the topic alone
        assert only(box, key) == before
        await box.advance("1m")
        assert script.ran[1].count("retrying") == len(script.ran[1]) - 1
        assert only(box, key).state == "completed"
        assert only(box, key).run == len(script.ran[1]) - 1


# -- dead letters ------------------------------------------------------------------------------


async def test_two_operators_replay_one_letter_and_it_runs_once_more():
    script = Script("dead", "completed")
    async with Sandbox(script.handler, partitions=1) as box:
        key = (await box.enqueue(Step(account=1, n=1))).job
        for _ in range(2):
            ask(box.cluster, "replay", key)
        await box.cluster.settle()
        over = only(box, key)
        assert (over.state, over.generation, over.attempts) == ("completed", 1, 1)
        assert script.ran[1] == ["dead", "completed"]
        assert letters(box) == []


async def test_a_second_replay_does_not_touch_the_letter_of_the_first_ones_run():
    script = Script("dead", "dead")
    async with Sandbox(script.handler, partitions=1) as box:
        key = (await box.enqueue(Step(account=1, n=1))).job
        ask(box.cluster, "replay", key)
        await box.cluster.settle()
        # when it is dead again, and the other operator asks for what he saw
        ask(box.cluster, "replay", key)
        await box.cluster.settle()
        dead = only(box, key)
        assert (dead.state, dead.generation) == ("dead", 1)
        assert script.ran[1] == ["dead", "dead"]
        assert letters(box) == [key.encode() + b"#default/1"]
        # then the letter that stands can be replayed
        ask(box.cluster, "replay", key, generation=1)
        await box.cluster.settle()
        assert only(box, key).state == "completed"
        assert letters(box) == []


@pytest.mark.parametrize("kind", ["replay", "discard"])
async def test_a_letter_whose_job_was_resolved_meanwhile_is_void(kind: str):
    script = Script("dead", "completed")
    async with Sandbox(script.handler, partitions=1) as box:
        key = (await box.enqueue(Step(account=1, n=1))).job
        ask(box.cluster, kind, key)
        await box.cluster.settle()
        resolved = only(box, key)
        runs = list(script.order)
        # when both are asked for afterwards, by somebody with an old listing
        for late in ("replay", "discard"):
            ask(box.cluster, late, key)
        await box.advance("1m")
        assert only(box, key) == resolved
        assert resolved.state == ("completed" if kind == "replay" else "discarded")
        assert script.order == runs
        assert letters(box) == []


@pytest.mark.parametrize("apart", [False, True])
@pytest.mark.parametrize("first", ["replay", "discard"])
async def test_a_discard_against_a_replay_the_first_one_wins(first: str, apart: bool):
    script = Script("dead", "completed")
    async with Sandbox(script.handler, partitions=1) as box:
        key = (await box.enqueue(Step(account=1, n=1))).job
        ask(box.cluster, first, key)
        if apart:  # in turns of their own
            await box.cluster.settle()
        ask(box.cluster, "discard" if first == "replay" else "replay", key)
        await box.cluster.settle()
        over = only(box, key)
        if first == "replay":
            assert (over.state, over.generation) == ("completed", 1)
            assert script.ran[1] == ["dead", "completed"]
        else:
            assert (over.state, over.generation) == ("discarded", 0)
            assert script.ran[1] == ["dead"]
        assert letters(box) == []


async def test_a_letter_that_state_does_not_know_is_removed_by_its_replay():
    script = Script()
    async with Sandbox(script.handler, partitions=1) as box:
        box.cluster.log.write(Append(DEAD, 0, STEP.encode() + b"#default/0", b"{}"))
        ask(box.cluster, "replay", STEP)
        await box.cluster.settle()
        assert letters(box) == []
        assert box.jobs() == []
        assert script.order == []


# -- one id again ------------------------------------------------------------------------------


async def test_an_id_is_free_again_at_the_very_end_of_its_window():
    ran: list[int] = []

    @job(unique_for="1h")
    async def loose(payload: Loose) -> None:
        ran.append(payload.n)

    async with Sandbox(loose, partitions=1) as box:
        start = box.cluster.clock.now()
        send(box.cluster, Loose(n=1), "same")
        await box.cluster.settle()
        # it counts when it was sent, not when it is read
        send(box.cluster, Loose(n=2), "same", time=start + HOUR - 1)
        await box.cluster.settle()
        assert ran == [1]
        await box.advance("1h")
        send(box.cluster, Loose(n=3), "same", time=start + HOUR)
        await box.cluster.settle()
        assert ran == [1, 3]
        # and the window begins anew, also for a worker that knows the topics alone
        await crash(box, "w2")
        send(box.cluster, Loose(n=4), "same", time=start + HOUR + 1)
        await box.cluster.settle()
        assert ran == [1, 3]


async def test_the_window_counts_from_the_end_also_after_a_replay():
    ran: list[int] = []
    broken = True

    @job(unique_for="1h")
    async def step(payload: Step) -> None:
        ran.append(payload.n)
        if broken:
            raise PermanentError("down")

    async with Sandbox(step, partitions=1) as box:
        key = (await box.enqueue(Step(account=1, n=1), id="one")).job
        await box.advance("10h")
        broken = False
        await box.replay(key)
        assert ran == [1, 1]
        await box.advance("59m")
        await box.enqueue(Step(account=1, n=2), id="one")
        assert ran == [1, 1]
        await box.advance("1m")
        await box.enqueue(Step(account=1, n=3), id="one")
        assert ran == [1, 1, 3]
        # and the new job begins at the beginning
        over = only(box, key)
        assert (over.generation, over.run, over.attempts) == (0, 0, 1)


@pytest.mark.parametrize("older", [0, 1, HOUR])
async def test_an_id_with_no_later_time_is_a_late_copy_for_ever(older: int):
    ran: list[int] = []

    @job(unique_for="0ms")
    async def loose(payload: Loose) -> None:
        ran.append(payload.n)

    async with Sandbox(loose, partitions=1) as box:
        sent = box.cluster.clock.now()
        send(box.cluster, Loose(n=1), "same", time=sent)
        await box.advance("2d")
        send(box.cluster, Loose(n=2), "same", time=sent - older)
        await box.cluster.settle()
        assert ran == [1]
        # any later time is a job of its own here
        send(box.cluster, Loose(n=3), "same", time=sent + 1)
        await box.cluster.settle()
        assert ran == [1, 3]


@pytest.mark.parametrize("state", ["dead", "retrying", "sleeping", "scheduled"])
async def test_an_id_is_taken_as_long_as_its_job_is_open(state: str):
    ran: list[int] = []

    @job(unique_for="1ms")
    async def step(payload: Step) -> None:
        ran.append(payload.n)
        match state:
            case "retrying":
                raise RetryAfter("30d")
            case "sleeping":
                raise Snooze("30d")
            case "dead":
                raise PermanentError("for good")

    async with Sandbox(step, partitions=1) as box:
        delay = 30 * 24 * HOUR if state == "scheduled" else None
        key = send(box.cluster, Step(account=1, n=1), "one", delay=delay)
        await box.cluster.settle()
        # when it is enqueued again long afterwards
        await box.advance("10d")
        before = only(box, key)
        runs = list(ran)
        await box.enqueue(Step(account=1, n=2), id="one")
        # then that is dropped
        assert only(box, key) == before
        assert before.state == state
        assert ran == runs
        assert happened(box, Happening.DUPLICATE) == 1


async def test_a_dead_jobs_id_is_free_once_its_letter_is_discarded():
    ran: list[int] = []

    @job(unique_for="1h")
    async def step(payload: Step) -> None:
        ran.append(payload.n)
        raise PermanentError("for good")

    async with Sandbox(step, partitions=1) as box:
        key = (await box.enqueue(Step(account=1, n=1), id="one")).job
        await box.advance("2h")
        ask(box.cluster, "discard", key)
        await box.cluster.settle()
        await box.advance("59m")
        await box.enqueue(Step(account=1, n=2), id="one")
        assert ran == [1]
        await box.advance("1m")
        await box.enqueue(Step(account=1, n=3), id="one")
        assert ran == [1, 3]
        # its letter is the new job's, though the generation is the same again
        assert only(box, key).time == box.cluster.clock.now()
        assert [*box.cluster.latest(DEAD).values()] == [b'{"account":1,"n":3}']


# -- children ----------------------------------------------------------------------------------


def children(box: Sandbox) -> list[str]:
    records = box.cluster.log.records(QUEUE)
    return [decode(record).id for record in records if decode(record).name == "loose"]


class Family:
    """A parent that sends a child for each n in `wanted`, and then ends as told."""

    def __init__(self, *runs: tuple[tuple[int, ...], str]) -> None:
        self.runs = list(runs)
        self.ran: list[int] = []

    @property
    def handlers(self) -> tuple[object, object]:
        @job(retry=Retry(attempts=5, backoff=Fixed("1s")), unique_for="1h")
        async def step(payload: Step, ctx: JobContext) -> None:
            wanted, how = self.runs.pop(0)
            for n in wanted:
                await ctx.enqueue(Loose(n=n))
            if how == "hangs":
                await asyncio.Event().wait()
            end_as(how)

        @job
        async def loose(payload: Loose) -> None:
            self.ran.append(payload.n)

        return step, loose


@pytest.mark.parametrize("how", ["retrying", "sleeping", "hangs"])
async def test_a_repeated_run_finds_its_own_children_and_a_changed_one_makes_new_ones(how: str):
    family = Family(((7, 7, 8), how), ((7, 7, 9), "completed"))
    async with Sandbox(*family.handlers, partitions=1) as box:
        send(box.cluster, Step(account=1), "parent")
        if how == "hangs":  # a crash in the middle of the run repeats it
            await turns(box, lambda: len(box.jobs(state="completed")) == 3)
            await crash(box)
        await box.advance("10s")
        assert family.runs == []
        first, second = children(box)[:3], children(box)[3:]
        # equal children are kept apart, and each is the same job again
        assert len(set(first)) == 3
        assert second[:2] == first[:2]
        assert second[2] not in first
        assert sorted(family.ran) == [7, 7, 8, 9]


async def test_a_replayed_parent_has_new_children():
    family = Family(((7,), "dead"), ((7,), "completed"))
    async with Sandbox(*family.handlers, partitions=1) as box:
        key = (await box.enqueue(Step(account=1))).job
        await box.replay(key)
        assert len(set(children(box))) == 2
        assert family.ran == [7, 7]


async def test_a_parents_id_that_is_used_again_makes_new_children():
    family = Family(((7,), "completed"), ((7,), "completed"))
    async with Sandbox(*family.handlers, partitions=1) as box:
        await box.enqueue(Step(account=1), id="daily")
        await box.advance("1h")
        await box.enqueue(Step(account=1), id="daily")
        assert len(set(children(box))) == 2
        assert family.ran == [7, 7]


async def test_two_parents_with_one_id_have_children_of_their_own():
    family = Family(((7,), "completed"), ((7,), "completed"))
    async with Sandbox(*family.handlers, partitions=1) as box:
        await box.enqueue(Step(account=1), id="daily")
        await box.enqueue(Step(account=2), id="daily")
        assert len(set(children(box))) == 2
        assert family.ran == [7, 7]


# -- two jobs ----------------------------------------------------------------------------------


async def test_two_names_with_one_id_and_one_key_are_two_jobs():
    ran: list[str] = []

    @job
    async def invoice(payload: Invoice) -> None:
        ran.append("invoice")
        raise PermanentError("for good")

    @job
    async def shipment(payload: Shipment) -> None:
        ran.append("shipment")

    async with Sandbox(invoice, shipment, partitions=1) as box:
        one = (await box.enqueue(Invoice(order=7), id="order-7")).job
        other = (await box.enqueue(Shipment(order=7), id="order-7")).job
        assert one.ordering_key == other.ordering_key == "order:7"
        assert ran == ["invoice", "shipment"]
        # and what is done to one is not done to the other
        assert (only(box, one).state, only(box, other).state) == ("dead", "completed")
        ask(box.cluster, "replay", other)
        ask(box.cluster, "discard", one)
        await box.cluster.settle()
        assert (only(box, one).state, only(box, other).state) == ("discarded", "completed")
        assert ran == ["invoice", "shipment"]


async def test_one_id_with_two_keys_is_two_jobs():
    script = Script("retrying")
    async with Sandbox(script.handler, partitions=1) as box:
        one = (await box.enqueue(Step(account=1, n=1), id="same")).job
        other = (await box.enqueue(Step(account=2, n=2), id="same")).job
        await box.cancel(one)
        await box.advance("1s")
        assert only(box, one).state == "cancelled"
        assert only(box, other).state == "completed"
        assert (script.ran[1], script.ran[2]) == (["retrying"], ["retrying", "completed"])


async def test_an_event_id_counts_for_its_source_and_a_copy_starts_nothing():
    ran: list[str] = []

    @job(name="first")
    async def first(event: Signed) -> None:
        ran.append("first")

    @job(name="second")
    async def second(event: Signed) -> None:
        ran.append("second")

    async with Sandbox(first, second, partitions=1) as box:
        now = box.cluster.clock.now()
        sent = Envelope(
            id="1", name="user.signed_up", source="web", time=now, payload=b'{"user_id": 7}'
        )
        # when two services use one id, and each sends its event twice, later and elsewhere
        for event in (
            sent,
            replace(sent, source="app"),
            sent,
            replace(sent, source="app", key="7"),
            replace(sent, time=now + 1),
        ):
            key, value, headers = encode(event)
            box.cluster.log.write(Append("user.signed_up", 0, key, value, headers))
        await box.cluster.settle()
        # then it is two jobs for each subscriber
        assert Counter(ran) == {"first": 2, "second": 2}
        assert len({job_.job for job_ in box.jobs()}) == 4


# -- cancel ------------------------------------------------------------------------------------


async def test_a_cancel_of_nothing_is_for_nobody_who_comes_later():
    script = Script()
    async with Sandbox(script.handler, partitions=1) as box:
        ask(box.cluster, "cancel", STEP)
        await box.cluster.settle()
        await box.enqueue(Step(account=1, n=1), id="one")
        assert only(box, STEP).state == "completed"


async def test_a_cancel_before_its_job_is_read_holds_for_that_one_only():
    ran: list[int] = []

    @job(unique_for="0ms")
    async def step(payload: Step) -> None:
        ran.append(payload.n)

    async with Sandbox(step, partitions=1) as box:
        (worker,) = box.cluster.workers
        sources, worker.sources = worker.sources, []
        now = box.cluster.clock.now()
        # given a job that is not read, its cancel, and the same id again
        send(box.cluster, Step(account=1, n=1), "one", time=now)
        ask(box.cluster, "cancel", STEP)
        await box.cluster.settle()
        send(box.cluster, Step(account=1, n=2), "one", time=now + 1)
        worker.sources = sources
        await box.advance("1s")
        assert ran == [2]
        assert only(box, STEP).state == "completed"


@pytest.mark.parametrize("state", ["scheduled", "retrying", "sleeping", "parked"])
async def test_a_cancel_of_what_waits_in_the_open_table(state: str):
    script = Script(state)
    async with Sandbox(script.handler, partitions=1) as box:
        delay = 10_000 if state == "scheduled" else None
        if state == "parked":
            script.endings = ("retrying",)
            script.ran[1] = ["completed"]  # the second retries nothing
            await box.enqueue(Step(account=1, n=0), id="zero")
        key = send(box.cluster, Step(account=1, n=1), "one", delay=delay)
        await box.cluster.settle()
        assert only(box, key).state == state
        runs = [n for _, n in script.order]
        for _ in range(2):  # once, and by somebody who is late
            ask(box.cluster, "cancel", key)
        await box.cluster.settle()
        over = only(box, key)
        assert (over.state, over.reason) == ("cancelled", "asked")
        await crash(box, "w2")
        await box.advance("1h")
        # then it never ran again
        assert only(box, key) == over
        assert [n for _, n in script.order if n == 1] == [n for n in runs if n == 1]
        ledger = box.cluster.log.records("jobs.default.ledger")
        assert sum(not record.key.startswith(b"#") for record in ledger) == len(box.jobs())


async def test_a_cancel_of_what_runs_and_of_what_waits_behind_it():
    started: list[int] = []

    @job
    async def step(payload: Step) -> None:
        started.append(payload.n)
        if payload.n == 1:
            await asyncio.Event().wait()

    async with Sandbox(step, partitions=1) as box:
        keys = [send(box.cluster, Step(account=1, n=n), f"id-{n}") for n in (1, 2, 3)]
        await turns(box, lambda: started == [1] and len(pipeline(box).hand) == 3)
        ask(box.cluster, "cancel", keys[1])
        await turns(box, lambda: bool(box.jobs(state="cancelled")))
        # what has not started is over at once, and has no attempt
        assert (only(box, keys[1]).attempts, started) == (0, [1])
        ask(box.cluster, "cancel", keys[0])
        await box.cluster.settle()
        assert started == [1, 3]
        assert [only(box, key).state for key in keys] == ["cancelled", "cancelled", "completed"]
        assert [a.outcome for a in only(box, keys[0]).history] == ["cancelled"]


async def test_a_handler_that_finishes_all_the_same_has_finished():
    started = asyncio.Event()

    @job
    async def step(payload: Step) -> str:
        started.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            return "all but done"
        return ""

    async with Sandbox(step, partitions=1) as box:
        key = send(box.cluster, Step(account=1), "one")
        await turns(box, started.is_set)
        ask(box.cluster, "cancel", key)
        await box.cluster.settle()
        assert only(box, key).state == "completed"
        assert box.result(key) == "all but done"


@pytest.mark.parametrize("how", ["retrying", "dead", "sleeping"])
async def test_a_handler_that_fails_on_its_cancel_is_cancelled(how: str):
    started = asyncio.Event()

    @job(retry=Retry(attempts=5))
    async def step(payload: Step) -> None:
        started.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            end_as(how)

    async with Sandbox(step, partitions=1) as box:
        key = send(box.cluster, Step(account=1), "one")
        await turns(box, started.is_set)
        ask(box.cluster, "cancel", key)
        await box.cluster.settle()
        assert only(box, key).state == "cancelled"
        assert letters(box) == []


@pytest.mark.parametrize("state", ["completed", "discarded", "dead"])
async def test_a_cancel_after_everything_changes_nothing(state: str):
    script = Script(state)
    async with Sandbox(script.handler, partitions=1) as box:
        key = (await box.enqueue(Step(account=1, n=1))).job
        before, letter = only(box, key), letters(box)
        ask(box.cluster, "cancel", key)
        await crash(box)
        await box.advance("1h")
        assert only(box, key) == before
        assert letters(box) == letter


async def test_a_cancel_that_a_crash_repeats_does_not_reach_the_replay_after_it():
    script = Script("dead", "retrying")
    async with Sandbox(script.handler, partitions=1) as box:
        # given a cancel of a dead job, which does nothing, and its replay
        key = (await box.enqueue(Step(account=1, n=1))).job
        ask(box.cluster, "cancel", key)
        ask(box.cluster, "replay", key)
        await box.cluster.settle()
        replayed = only(box, key)
        assert (replayed.state, replayed.generation) == ("retrying", 1)
        # when how far commands were obeyed was lost with the crash
        retry = box.cluster.log.topics[("jobs.default.retry", 0)]
        kept = [record for record in retry if record.key != b"#commands"]
        retry[:] = [replace(record, offset=at) for at, record in enumerate(kept)]
        box.cluster.lose_disks()
        await crash(box)
        await box.advance("1m")
        # then both come again, and change nothing
        over = only(box, key)
        assert (over.state, over.generation) == ("completed", 1)
        assert script.ran[1] == ["dead", "retrying", "completed"]


async def test_what_ends_and_comes_again_in_one_turn_is_on_record_twice():
    """Else the record of the first one would never be written."""
    go_on = asyncio.Event()

    @job(unique_for="0ms")
    async def step(payload: Step) -> int:
        await go_on.wait()
        return payload.n

    async with Sandbox(step, partitions=1) as box:
        send(box.cluster, Step(account=1, n=1), "one")
        await turns(box, lambda: any(e.happening == "started" for e in box.events))
        # when it ends, and the same id is there again, and too late, before that is settled
        box.cluster.clock.set(box.cluster.clock.now() + 5)
        now = box.cluster.clock.now()
        envelope = Envelope(
            id="one",
            name="step",
            source="test",
            time=now,
            queue="default",
            key="step:1",
            payload=b'{"account":1,"n":2}',
            expires=now,
        )
        key, value, headers = encode(envelope)
        box.cluster.log.write(Append(QUEUE, 0, key, value, headers))
        go_on.set()
        await box.cluster.settle()
        ledger = [
            decode_ledger(record.key or b"", record.value or b"")
            for record in box.cluster.log.records("jobs.default.ledger")
            if not (record.key or b"").startswith(b"#")
        ]
        assert [(each.state, each.result) for each in ledger] == [
            ("completed", b"1"),
            ("expired", None),
        ]
