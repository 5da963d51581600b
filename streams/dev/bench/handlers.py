"""The jobs of the benches and their handlers: STREAMS_HANDLERS names this module."""

from __future__ import annotations

import asyncio
import os
import time
from typing import Any, Final

from streams.contracts import Event, JobPayload
from streams.dev.bench.load import KEYS
from streams.errors import PermanentError
from streams.jobs.batching import Batch
from streams.jobs.breaker import Breaker
from streams.jobs.context import JobContext
from streams.jobs.decorator import job
from streams.jobs.rate import RateLimit
from streams.jobs.retry import Fixed, Retry
from streams.jobs.single import Unique

QUEUE: Final = "default"
IO_SECONDS: Final = 0.01
CONTROL: Final = "STREAMS_BENCH_CONTROL"
"""The variable that says which of `CONTROLS` the handler `noop` has."""
STARTS: Final = "STREAMS_BENCH_STARTS"
"""The variable that names the file in which `hold` notes its starts."""


class Noop(JobPayload, name="bench.noop", queue=QUEUE, key="account"):
    """Ask for nothing; `n` counts the jobs of a run."""

    account: int
    n: int
    email: str


class Unordered(JobPayload, name="bench.unordered", queue=QUEUE):
    """Ask for nothing, in no order."""

    account: int
    n: int
    email: str


class Wait(JobPayload, name="bench.wait", queue=QUEUE, key="account"):
    """Ask for something that awaits 10 ms."""

    account: int
    n: int
    email: str


class Timed(JobPayload, name="bench.timed", queue=QUEUE, key="account"):
    """Ask for the time of the start."""

    account: int
    n: int
    email: str


class Hold(JobPayload, name="bench.hold", queue=QUEUE, key="account"):
    """Ask for something that takes long, the first time."""

    account: int
    n: int
    email: str


class Failing(JobPayload, name="bench.failing", queue=QUEUE, key="account"):
    """Ask for what fails the first time, for every second job of a key."""

    account: int
    n: int
    email: str


class Dying(JobPayload, name="bench.dying", queue=QUEUE, key="account"):
    """Ask for what gives up at once, and completes when it is replayed."""

    account: int
    n: int
    email: str


class Happened(Event, type="bench.happened", key="account"):
    """Something happened."""

    account: int
    n: int
    email: str


def fails_first(n: int) -> bool:
    """Whether job `n` of `failing` fails at first: every second one of a key."""
    return bool((n // KEYS + n) % 2)


CONTROLS: Final[dict[str, dict[str, Any]]] = {
    "none": {},
    "concurrency": {"concurrency": 100},
    "cluster_concurrency": {"cluster_concurrency": 1_000},
    "rate": {"rate_limit": RateLimit(10_000_000, per="1m")},
    "key_rate": {"rate_limit": RateLimit(1_000, per="1s", by="key")},
    "fair": {"fair_by": "account"},
    "breaker": {"breaker": Breaker(0.9, of=100)},
    "unique": {"unique": Unique(by=("account", "n"))},
    "batch": {"batch": Batch(100, wait="10ms")},
}
"""Flow controls that hold nothing up, by name; what they cost is measured by `controls`."""


async def _one(payload: Noop) -> None:
    """Do nothing."""


async def _many(payloads: list[Noop]) -> None:
    """Do nothing."""


def noop_with(control: str) -> Any:
    """The handler of no-op jobs with one of `CONTROLS`."""
    return job(**CONTROLS[control])(_many if control == "batch" else _one)


noop = noop_with(os.environ.get(CONTROL, "none"))


@job(ledger=False)
async def unordered(payload: Unordered) -> None:
    """Do nothing, and leave nothing."""


@job
async def wait(payload: Wait) -> None:
    """Await, as for a database or another service."""
    await asyncio.sleep(IO_SECONDS)


@job
async def timed(payload: Timed) -> int:
    """When it started, in nanoseconds since the epoch."""
    return time.time_ns()


@job
async def hold(payload: Hold) -> None:
    """Note the start; hold on if it is the first one."""
    file = os.open(os.environ[STARTS], os.O_RDWR | os.O_APPEND | os.O_CREAT)
    try:
        is_first = os.fstat(file).st_size == 0
        os.write(file, f"{os.getpid()} {time.time_ns()}\n".encode())
    finally:
        os.close(file)
    if is_first:
        await asyncio.sleep(120)


@job(retry=Retry(attempts=2, backoff=Fixed("1s")))
async def failing(payload: Failing, ctx: JobContext) -> None:
    """Fail at the first attempt, every second time."""
    if ctx.attempt == 1 and fails_first(payload.n):
        raise ConnectionError("try again")


@job
async def dying(payload: Dying, ctx: JobContext) -> None:
    """Give up, unless it was replayed."""
    if ctx.generation == 0:
        raise PermanentError("no such account")


@job(name="bench.subscriber", queue=QUEUE)
async def subscriber(event: Happened) -> None:
    """Do nothing about it."""
