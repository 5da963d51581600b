"""The jobs of a simulated schedule: what they carry, and handlers that do as the schedule says."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, Protocol

from streams.contracts import Event, JobPayload
from streams.errors import Discard, PermanentError, RetryAfter, Snooze, StreamsError
from streams.jobs.context import JobContext
from streams.jobs.decorator import job
from streams.jobs.registry import Registry
from streams.jobs.retry import Fixed, Retry

ATTEMPTS: Final = 3
BACKOFF_MS: Final = 2_000
TIMEOUT_MS: Final = 20_000
UNIQUE_MS: Final = 20_000
QUEUE: Final = "default"
KEYS: Final = 8
RETRY: Final = Retry(attempts=ATTEMPTS, backoff=Fixed("2s"))


class Keyed(JobPayload, name="keyed", key="account", queue=QUEUE):
    """In order with all others of its account."""

    account: int
    n: int


class Loose(JobPayload, name="loose", queue=QUEUE):
    """In no order."""

    n: int


class Child(JobPayload, name="child", key="account", queue=QUEUE):
    """What a job enqueues."""

    account: int
    n: int


class Gathered(JobPayload, name="gathered", key="account", queue=QUEUE):
    """What runs once a batch of children is over."""

    account: int
    n: int


class Happened(Event, type="happened", key="account"):
    """An event with one subscriber."""

    account: int
    n: int


@dataclass(frozen=True, slots=True)
class Work:
    """What one job does: an act for each attempt, in each generation; times in milliseconds."""

    acts: tuple[str, ...] = ("ok",)
    lasts: int = 0
    children: int = 0
    again: tuple[str, ...] = ("ok",)  # after a replay
    is_batch: bool = False  # its children have a callback
    snooze_until: int = 0  # of the world's clock
    snooze_blocks: bool = False
    parts: int = 0  # of what it does, with a checkpoint after each
    fickle: bool = False  # each run draws its act anew: a repeated one may end otherwise

    def act(self, generation: int, attempt: int) -> str:
        """What an attempt does."""
        acts = self.again if generation else self.acts
        return acts[min(attempt, len(acts)) - 1]

    def ending(self, generation: int = 0) -> tuple[str, int]:
        """The state that it ends in, and after how many attempts, if nobody interferes."""
        for attempt in range(1, ATTEMPTS + 1):
            match self.act(generation, attempt):
                case "ok":
                    return "completed", attempt
                case "discard":
                    return "discarded", attempt
                case "permanent":
                    return "dead", attempt
        return "dead", ATTEMPTS


class Stage(Protocol):
    """Where handlers are seen: the schedule tells them what to do, the oracle what they did."""

    def begin(self, n: int, ctx: JobContext) -> tuple[Work, Callable[[str], None], int]:
        """An attempt begins: what it does, whom to tell how it ended, and the world's time."""
        ...

    def draw(self) -> str:
        """An act by chance."""
        ...

    def unwinds(self) -> int:
        """How long an attempt goes on that is interrupted."""
        ...

    def keeps(self, n: int, ctx: JobContext, part: int) -> None:
        """A checkpoint is asked for."""
        ...

    def kept(self, n: int, ctx: JobContext, part: int) -> None:
        """A checkpoint is durable."""
        ...

    def gathers(self, n: int, ctx: JobContext) -> None:
        """A batch is durable, as a whole."""
        ...


current: list[Stage] = []  # the stage of the schedule that runs


async def perform(n: int, account: int, ctx: JobContext) -> int:
    """Do what the schedule says."""
    work, ended, now = current[0].begin(n, ctx)
    how = "interrupted"
    try:
        if work.parts:
            await work_in_parts(n, work, ctx)
        elif work.lasts:
            await asyncio.sleep(work.lasts / 1000)
        how = current[0].draw() if work.fickle else work.act(ctx.generation, ctx.attempt)
        if now < work.snooze_until:
            how = "snooze" if work.snooze_blocks else "snooze aside"
            raise Snooze("7s", blocks_key=work.snooze_blocks)
        # A replayed parent makes new children.
        children = [child_n(n, ctx.generation, child) for child in range(work.children)]
        if work.is_batch and children:
            await ctx.enqueue_batch(
                [Child(account=(account + each) % 8, n=each) for each in children],
                then=Gathered(account=account, n=callback_n(n, ctx.generation)),
            )
            current[0].gathers(n, ctx)
        else:
            for each in children:
                await ctx.enqueue(Child(account=account, n=each))
        match how:
            case "fail":
                raise ValueError("as the schedule says")
            case "later":
                raise RetryAfter("5s")
            case "permanent":
                raise PermanentError("as the schedule says")
            case "discard":
                raise Discard("as the schedule says")
            case "hang":
                await asyncio.sleep(10 * TIMEOUT_MS / 1000)
        return n
    except StreamsError:
        how = "refused"  # a child could not be sent, or nobody knows: the attempt fails of it
        raise
    except asyncio.CancelledError:
        if how != "hang":
            how = "interrupted"
        if unwinds := current[0].unwinds():
            await asyncio.sleep(unwinds / 1000)
        raise
    finally:
        ended(how)


def child_n(n: int, generation: int, child: int) -> int:
    """The number of a job's child."""
    return 10_000 * (1 + generation) + n * 10 + child


def child_work(n: int) -> Work:
    """What a child does, by its number; a callback always does well."""
    if n >= 1_000_000:
        return Work()
    return (Work(), Work(("fail", "ok")), Work(("permanent",)), Work(("discard",)))[n * 7 % 10 % 4]


def callback_n(n: int, generation: int) -> int:
    """The number of the callback of a job's children."""
    return 1_000_000 + 10_000 * (1 + generation) + n * 10


async def work_in_parts(n: int, work: Work, ctx: JobContext) -> None:
    """Do what earlier attempts have not done."""
    for part in range(ctx.checkpointed or 0, work.parts):
        if part:  # the first one is kept right behind the job before it in its key
            await asyncio.sleep(work.lasts / 1000 / work.parts)
        await ctx.progress(part + 1, work.parts)
        current[0].keeps(n, ctx, part + 1)
        await ctx.checkpoint(part + 1)
        current[0].kept(n, ctx, part + 1)


@job(retry=RETRY, timeout="20s", unique_for="20s")
async def keyed(payload: Keyed, ctx: JobContext) -> int:
    """A job with a key."""
    return await perform(payload.n, payload.account, ctx)


@job(retry=RETRY, timeout="20s", unique_for="20s")
async def loose(payload: Loose, ctx: JobContext) -> int:
    """A job without one."""
    return await perform(payload.n, 0, ctx)


@job(retry=RETRY, timeout="20s", unique_for="20s")
async def child(payload: Child, ctx: JobContext) -> int:
    """A job of a job."""
    return await perform(payload.n, payload.account, ctx)


@job(retry=RETRY, timeout="20s", unique_for="20s")
async def gathered(payload: Gathered, ctx: JobContext) -> int:
    """A job of a batch."""
    return await perform(payload.n, payload.account, ctx)


@job(name="react", queue=QUEUE, retry=RETRY, timeout="20s", unique_for="20s")
async def react(event: Happened, ctx: JobContext) -> int:
    """A job of an event."""
    return await perform(event.n, event.account, ctx)


HANDLERS: Final[tuple[Any, ...]] = (keyed, loose, child, gathered, react)
REGISTRY: Final = Registry.build([each.__job_definition__ for each in HANDLERS], [QUEUE])
