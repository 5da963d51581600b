"""Hundreds who follow jobs at the same time, and come again where they were."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Iterator

import httpx
import pytest
from console_calls import client_of
from console_process import eventually
from console_shop import Shop, open_shop

READERS = 500


@pytest.fixture(scope="module")
def shop(kafka: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    with open_shop(kafka, tmp_path_factory.mktemp("readers")) as shop:
        yield shop


@pytest.fixture
async def client(shop: Shop) -> AsyncIterator[httpx.AsyncClient]:
    async with client_of(shop.console) as client:
        yield client


class Reader:
    """One who follows a job, over a connection of its own."""

    def __init__(self) -> None:
        self.events: list[dict[str, str]] = []
        self.began = asyncio.Event()

    async def follow(self, shop: Shop, path: str, last: str = "") -> None:
        host, _, port = shop.console.url.removeprefix("http://").partition(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        again = f"Last-Event-ID: {last}\r\n" if last else ""
        writer.write(
            f"GET {path}/events HTTP/1.1\r\nHost: localhost\r\n{again}"
            "Connection: close\r\n\r\n".encode()
        )
        one: dict[str, str] = {}
        while line := (await reader.readline()).decode().strip("\r\n") or await _more(reader):
            name, is_field, value = line.partition(": ")
            if is_field and name in ("id", "event", "data"):
                one[name] = value
                if name == "data":
                    self.events.append(one)
                    self.began.set()
                    one = {}
                    if self.events[-1]["event"] == "end":
                        break
        writer.close()


async def _more(reader: asyncio.StreamReader) -> str:
    """Behind an empty line: what comes next, that is none."""
    while line := await reader.readline():
        if text := line.decode().strip("\r\n"):
            return text
    return ""


async def test_hundreds_follow_a_job_and_all_see_its_end(
    client: httpx.AsyncClient, shop: Shop
) -> None:
    # given a job that waits, and 500 who follow it
    said = await client.post("/jobs", json={"name": "nap", "payload": {"steps": 1}, "delay": "1h"})
    path = said.headers["location"]
    readers = [Reader() for _ in range(READERS)]
    following = [asyncio.create_task(reader.follow(shop, path)) for reader in readers]
    async with asyncio.timeout(60):
        await asyncio.gather(*(reader.began.wait() for reader in readers))
    metrics = (await client.get("/metrics")).text
    assert f"streams_console_readers {READERS}.0" in metrics
    # when it runs
    began = time.monotonic()
    assert (await client.post(f"{path}/reschedule", json={"delay": "0s"})).status_code == 202
    async with asyncio.timeout(60):
        await asyncio.gather(*following)
    took = time.monotonic() - began
    # then each has seen how it ended, and others were answered meanwhile
    for reader in readers:
        assert reader.events[-1]["event"] == "end"
        assert json.loads(reader.events[-1]["data"])["result"] == "rested"
    print(f"{READERS} readers had the end of a job after {took:.2f} s")

    async def nobody_follows() -> bool:
        return "streams_console_readers 0.0" in (await client.get("/metrics")).text

    await eventually(nobody_follows)


async def test_who_comes_again_goes_on_behind_what_was_seen(
    client: httpx.AsyncClient, shop: Shop
) -> None:
    said = await client.post("/jobs", json={"name": "nap", "payload": {"steps": 1}, "delay": "1h"})
    path = said.headers["location"]

    async def is_scheduled_by_its_worker() -> str:
        first = Reader()
        following = asyncio.create_task(first.follow(shop, path))
        await first.began.wait()
        await asyncio.sleep(0)
        following.cancel()
        return first.events[-1]["id"]

    seen = await is_scheduled_by_its_worker()
    again = Reader()
    following = asyncio.create_task(again.follow(shop, path, seen))
    assert (await client.post(f"{path}/reschedule", json={"delay": "0s"})).status_code == 202
    async with asyncio.timeout(60):
        await following
    ids = [event["id"] for event in again.events]
    assert seen not in ids
    assert len(set(ids)) == len(ids)
    assert again.events[-1]["event"] == "end"
