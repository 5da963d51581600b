"""Jobs in shadow: run as a worker runs them, and without any effect."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
import shadow_handlers

from streams import (
    Batch,
    BatchContext,
    Breaker,
    Discard,
    Event,
    JobContext,
    JobPayload,
    Middleware,
    PermanentError,
    RateLimit,
    Resource,
    Retry,
    Snooze,
    SyncJobContext,
    job,
)
from streams.errors import ProcessDied, RegistrationError
from streams.jobs.definition import JobDefinition
from streams.jobs.registry import Registry
from streams.kafka.clock import WallClock
from streams.replay.comparing import Account, Ended
from streams.replay.shadow import Run, Shadow
from streams.testing.sandbox import Sandbox
from streams.wire.envelope import Envelope
from streams.wire.topics import TopicNames
from streams.worker.fan_out import job_of
from streams.worker.processes import PoolOptions, ProcessPool


class Ordered(Event, type="shop.ordered", key="order"):
    order: int
    how: str = ""


class Ship(JobPayload, name="ship", key="order"):
    order: int


class Shipped(Event, type="shop.shipped"):
    order: int


class Seen(Middleware):
    def __init__(self) -> None:
        self.seen: list[object] = []

    async def before(self, ctx: JobContext, payload: Any) -> None:
        self.seen.append(ctx.shadow)

    async def on_outcome(self, ctx: JobContext, outcome: Any) -> None:
        self.seen.append(type(outcome).__name__)


seen = Seen()


def open_shop() -> str:
    return "the real shop"


@job(middleware=[seen], rate_limit=RateLimit(1, per="1h"), breaker=Breaker(1, of=1))
async def on_loop(event: Ordered, ctx: JobContext, shop: str = Resource(open_shop)) -> Any:
    match event.how:
        case "fails":
            raise KeyError("order")
        case "is refused":
            raise PermanentError("no")
        case "is discarded":
            raise Discard("nobody wants it")
        case "snoozes":
            raise Snooze("1h")
        case "is slow":
            await asyncio.Event().wait()
        case "is large":
            return "x" * 100_000
    await ctx.checkpoint(1)
    await ctx.progress(1, 2)
    ctx.log.info("here")
    await ctx.enqueue(Ship(order=event.order), delay="1h")
    await ctx.emit(Shipped(order=event.order))
    return [ctx.shadow, ctx.id, ctx.attempt, ctx.checkpointed, shop]


@job(name="in_thread")
def in_thread(event: Ordered, ctx: SyncJobContext) -> bool:
    ctx.enqueue_batch([Ship(order=1), Ship(order=2)], then=Ship(order=3))
    return ctx.shadow


@job(batch=Batch(10, wait="1m"))
async def in_batches(events: list[Ordered], ctx: BatchContext) -> list[Any]:
    return [[ctx.shadow, event.order] for event in events]


@job(name="refuses", timeout="50ms", retry=Retry(attempts=5))
async def in_time(event: Ordered) -> None:
    await asyncio.Event().wait()


def shadow_of(*handlers: Any, **more: Any) -> Shadow:
    definitions: list[JobDefinition] = [each.__job_definition__ for each in handlers]
    return Shadow(definitions, WallClock(), TopicNames(), concurrency=10, threads=2, **more)


def event(order: int = 7, how: str = "") -> Envelope:
    return Envelope(
        id="e1",
        name="shop.ordered",
        source="web",
        time=1_000,  # in 1970: whatever may expire is over
        payload=Ordered(order=order, how=how).model_dump_json().encode(),
    )


async def run(shadow: Shadow, happened: Envelope) -> Run:
    (definition,) = shadow.definitions
    return await shadow.run(job_of(happened, definition), definition)


async def test_a_handler_is_told_and_what_it_sends_is_captured() -> None:
    seen.seen.clear()
    async with shadow_of(on_loop) as shadow:
        found = await run(shadow, event())
        again = await run(shadow, event())

    id = job_of(event(), on_loop.__job_definition__).id
    assert found.account.ended is Ended.COMPLETED
    assert found.account.result == b'[true,"%s",1,1,"the real shop"]' % id.encode()
    assert [(each.name, each.parent, each.queue) for each in found.sent] == [
        ("ship", id, "default"),
        ("shop.shipped", id, None),
    ]
    assert found.sent[0].payload == b'{"order":7}'
    # and with the ids that a worker's run had given them
    assert [each.id for each in found.sent] == [each.id for each in again.sent]
    assert seen.seen == [True, "Completed"] * 2


@pytest.mark.parametrize(
    ("how", "account"),
    [
        ("fails", Account(ended=Ended.FAILED, error="KeyError", message="'order'")),
        (
            "is refused",
            Account(ended=Ended.FAILED, error="streams.errors.PermanentError", message="no"),
        ),
        ("is discarded", Account(ended=Ended.DISCARDED, message="nobody wants it")),
        ("snoozes", Account(ended=Ended.SNOOZED, message="for 1h")),
        ("is large", Account(ended=Ended.COMPLETED, result=b'"%s"' % (b"x" * 100_000))),
    ],
)
async def test_one_attempt_is_all_and_says_how_it_ended(how: str, account: Account) -> None:
    async with shadow_of(on_loop) as shadow:
        assert (await run(shadow, event(how=how))).account == account


async def test_a_failure_says_where_it_was() -> None:
    async with shadow_of(on_loop) as shadow:
        found = await run(shadow, event(how="fails"))
    assert 'raise KeyError("order")' in found.account.trace


async def test_a_timeout_holds_and_is_a_failure() -> None:
    async with shadow_of(in_time) as shadow:
        found = await run(shadow, event())
    assert found.account.error == "TimeoutError"


async def test_a_payload_that_does_not_fit_any_more_is_a_failure() -> None:
    async with shadow_of(on_loop) as shadow:
        (definition,) = shadow.definitions
        old = Envelope(id="1", name="on_loop", source="web", time=1, payload=b'{"user": 1}')
        found = await shadow.run(old, definition)
    assert (found.account.ended, found.account.error) == (Ended.FAILED, "PayloadInvalid")


async def test_a_thread_is_in_shadow_and_its_batch_is_captured() -> None:
    async with shadow_of(in_thread) as shadow:
        found = await run(shadow, event())
    assert found.account.result == b"true"
    assert [each.payload for each in found.sent] == [b'{"order":3}', b'{"order":1}', b'{"order":2}']


async def test_a_handler_of_batches_gets_what_is_at_hand_at_once() -> None:
    async with asyncio.timeout(10), shadow_of(in_batches) as shadow:
        (definition,) = shadow.definitions
        jobs = [job_of(event(order), definition) for order in range(3)]
        named = [Envelope(**{**_fields(each), "id": str(n)}) for n, each in enumerate(jobs)]
        found = await asyncio.gather(*(shadow.run(each, definition) for each in named))
    assert [each.account.result for each in found] == [b"[true,0]", b"[true,1]", b"[true,2]"]


opened: list[str] = []


def open_mail() -> str:
    opened.append("mail")
    return "mail"


def open_no_mail(shop: str = Resource(open_shop)) -> str:
    opened.append("no mail")
    return f"no mail of {shop}"


def open_mailer(mail: str = Resource(open_mail, shadow=open_no_mail)) -> list[str]:
    return [mail]


@job
async def writes(event: Ordered, mailer: list[str] = Resource(open_mailer)) -> list[str]:
    return mailer


async def test_a_resource_has_a_stand_in_where_nothing_is_to_have_an_effect() -> None:
    opened.clear()
    async with shadow_of(writes) as shadow:
        found = await run(shadow, event())
    assert found.account.result == b'["no mail of the real shop"]'
    assert opened == ["no mail"]

    async with Sandbox(writes) as box:
        await box.emit(Ordered(order=1))
        (done,) = box.jobs(state="completed")
        assert box.result(done.job) == ["mail"]


def test_a_handler_of_which_nothing_looks_at_shadow_is_known() -> None:
    @job
    async def heedless(event: Ordered, ctx: JobContext) -> None: ...

    @job
    async def inside(event: Ordered, ctx: JobContext) -> list[bool]:
        return [ctx.shadow for _ in range(1)]

    assert not heedless.__job_definition__.heeds_shadow
    assert inside.__job_definition__.heeds_shadow
    assert writes.__job_definition__.heeds_shadow


def test_a_stand_in_that_cannot_be_opened_is_told_at_start_up() -> None:
    def open_wrongly(address: str) -> str:
        return address

    @job
    async def wrong(event: Ordered, mail: str = Resource(open_mail, shadow=open_wrongly)): ...

    with pytest.raises(RegistrationError, match=r"open_wrongly needs 'address'"):
        Registry.build([wrong.__job_definition__], ["default"])


async def test_a_process_is_in_shadow_and_what_it_sends_is_captured() -> None:
    options = PoolOptions(modules=["shadow_handlers"], count=1)
    async with shadow_of(
        shadow_handlers.render, processes=lambda log: ProcessPool(options, log)
    ) as shadow:
        found = await run(shadow, event())
    assert found.account.result == b"true"
    assert [each.payload for each in found.sent] == [b'{"page":7}']


async def test_processes_that_cannot_be_started_are_told_instead_of_waited_for() -> None:
    options = PoolOptions(modules=["no_such_module"], count=1)
    async with asyncio.timeout(30):
        async with shadow_of(
            shadow_handlers.render, processes=lambda log: ProcessPool(options, log)
        ) as shadow:
            with pytest.raises(ProcessDied, match="no_such_module"):
                await run(shadow, event())


async def test_who_leaves_in_the_middle_waits_for_nobody() -> None:
    async with asyncio.timeout(10):
        async with shadow_of(on_loop) as shadow:
            running = asyncio.create_task(run(shadow, event(how="is slow")))
            await asyncio.sleep(0.05)
            running.cancel()
        assert (await asyncio.gather(running, return_exceptions=True))[0]


def _fields(envelope: Envelope) -> dict[str, Any]:
    return {name: getattr(envelope, name) for name in ("name", "source", "time", "key", "payload")}
