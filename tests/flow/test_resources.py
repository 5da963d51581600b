"""Resources: opened once, given to handlers, closed in order, replaced in tests."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from streams import JobContext, JobPayload, Resource, job
from streams.errors import RegistrationError, ResourceFailed, StreamsError
from streams.testing.sandbox import Sandbox

said: list[str] = []


@pytest.fixture(autouse=True)
def silence() -> None:
    said.clear()


class Closable:
    """A client as libraries make them."""

    def __init__(self, name: str) -> None:
        self.name = name
        said.append(f"open {name}")

    async def aclose(self) -> None:
        said.append(f"close {self.name}")


async def open_database() -> AsyncIterator[str]:
    said.append("open database")
    yield "database"
    said.append("close database")


def open_cache(database: str = Resource(open_database)) -> Iterator[str]:
    said.append(f"open cache on {database}")
    yield "cache"
    said.append("close cache")


def open_client() -> Closable:
    return Closable("client")


class Work(JobPayload, name="work"):
    n: int = 0


class Other(JobPayload, name="other"):
    pass


@job
async def work(
    payload: Work,
    ctx: JobContext,
    cache: str = Resource(open_cache),
    client: Closable = Resource(open_client),
) -> list[str]:
    return [ctx.name, cache, client.name]


@job
def other(payload: Other, *, database: str = Resource(open_database)) -> str:
    return f"a thread has the {database}"


@job
async def plain(n: int, database: str = Resource(open_database), unit: str = "m") -> str:
    return f"{n} {unit} in the {database}"


async def test_each_is_opened_once_before_the_first_job_and_closed_in_reverse_order():
    async with Sandbox(work, other) as box:
        opened = ["open database", "open cache on database", "open client"]
        assert said == opened
        first = await box.enqueue(Work())
        await box.enqueue(Work(n=1))
        second = await box.enqueue(Other())
        assert box.result(first) == ["work", "cache", "client"]
        assert box.result(second) == "a thread has the database"
        assert said == opened
    assert said[3:] == ["close client", "close cache", "close database"]


async def test_plain_parameters_and_resources_do_not_mix():
    async with Sandbox(plain) as box:
        key = await box.enqueue(plain.payload(n=3, unit="km"))
        assert box.result(key) == "3 km in the database"
    assert set(plain.payload(n=1).model_dump()) == {"n", "unit"}


async def test_the_sandbox_replaces_what_a_factory_would_open():
    async with Sandbox(work, resources={open_cache: "fake", open_client: Closable("mine")}) as box:
        key = await box.enqueue(Work())
        assert box.result(key) == ["work", "fake", "mine"]
    assert said == ["open mine"]  # neither the database below nor what was given is touched


async def test_a_unit_test_gives_them_by_hand():
    assert await plain(1, "mine", unit="cm") == "1 cm in the mine"


async def test_whoever_leaves_one_out_is_told():
    @job
    async def uses(payload: Work, client: Closable = Resource(open_client)) -> str:
        return client.name

    with pytest.raises(StreamsError, match=r"Resource\(open_client\) is opened by a worker.*give"):
        await uses(Work())


async def test_one_that_can_not_be_opened_ends_the_start_and_closes_those_before_it():
    def broken(database: str = Resource(open_database)) -> Any:
        raise OSError("no route to host")

    @job
    async def uses(payload: Work, it: Any = Resource(broken)) -> None: ...

    with pytest.raises(ResourceFailed, match=r"broken could not be opened: .*no route to host"):
        async with Sandbox(uses):
            pass
    assert said == ["open database", "close database"]


async def test_one_that_does_not_open_in_time_ends_the_start(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("streams.worker.resources.OPEN_WITHIN", 0.01)

    async def slow() -> None:
        await asyncio.Event().wait()

    @job
    async def uses(payload: Work, it: Any = Resource(slow)) -> None: ...

    with pytest.raises(ResourceFailed, match="slow could not be opened: it took longer than 0 s"):
        async with Sandbox(uses):
            pass


async def test_one_that_fails_or_hangs_at_its_end_does_not_keep_the_others_open(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("streams.worker.resources.CLOSE_WITHIN", 0.01)

    @contextlib.contextmanager
    def fails(database: str = Resource(open_database)) -> Iterator[None]:
        yield
        raise OSError("gone")

    @contextlib.asynccontextmanager
    async def hangs() -> AsyncIterator[None]:
        yield
        await asyncio.Event().wait()

    @job
    async def uses(
        payload: Work, one: Any = Resource(fails), two: Any = Resource(hangs)
    ) -> None: ...

    with caplog.at_level(logging.ERROR):
        async with Sandbox(uses):
            pass
    assert said == ["open database", "close database"]
    assert [record.getMessage().partition(".<locals>.")[2] for record in caplog.records] == [
        "hangs took longer than 0 s",
        "fails failed",
    ]


async def test_it_is_closed_by_the_task_that_opened_it():
    tasks: list[Any] = []

    async def picky() -> AsyncIterator[None]:
        tasks.append(asyncio.current_task())
        yield
        tasks.append(asyncio.current_task())

    @job
    async def uses(payload: Work, it: Any = Resource(picky)) -> None: ...

    async with Sandbox(uses):
        pass
    assert len(tasks) == 2 and tasks[0] is tasks[1]


async def test_what_could_never_be_opened_is_told_at_start_up():
    def lonely(address: str) -> Any: ...

    def chicken(egg: Any = None) -> Any: ...

    def egg(chicken: Any = Resource(chicken)) -> Any: ...

    chicken.__defaults__ = (Resource(egg),)

    @job(name="a")
    async def needs_an_argument(n: int, it: Any = Resource(lonely)) -> None: ...

    @job(name="b")
    async def ring(n: int, it: Any = Resource(chicken)) -> None: ...

    with pytest.raises(RegistrationError) as told:
        Sandbox(needs_an_argument, ring)
    assert "lonely needs 'address', and nobody gives it" in str(told.value)
    assert "chicken needs" in str(told.value) and "none of them can be opened" in str(told.value)


def test_a_factory_is_given_itself_not_what_it_returns():
    with pytest.raises(TypeError, match="takes a function that opens it, not 'database'"):
        Resource("database")  # type: ignore[call-overload]


async def test_what_can_be_closed_is_closed_though_it_is_a_context_manager_too():
    class Connection:  # as sqlite3's: leaving it ends a transaction, and leaves it open
        def __enter__(self) -> Any:
            said.append("enter")

        def __exit__(self, *_: object) -> None:
            said.append("exit")

        def close(self) -> None:
            said.append("close")

    def connect() -> Connection:
        return Connection()

    @job
    async def uses(payload: Work, it: Connection = Resource(connect)) -> bool:
        return isinstance(it, Connection)

    async with Sandbox(uses) as box:
        assert box.result(await box.enqueue(Work())) is True
    assert said == ["close"]
