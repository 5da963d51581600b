"""A console without Kafka: its projection is a file of records that a test has written."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import uvicorn
from fastapi import FastAPI
from told import NAMES, NOW, QUEUES, ROLES

from streams.console.app import make_app
from streams.console.bulk import Bulks
from streams.console.console import Console
from streams.console.serving import listen
from streams.jobs.registry import Registry
from streams.projection.batch import Batch, Reader
from streams.projection.feed import Feed
from streams.projection.file import open_store
from streams.settings import Settings
from streams.wire.envelope import Record


class Kept:
    """Single records, as a broker has them."""

    def __init__(self, records: Sequence[Record]) -> None:
        self._records = {(each.topic, each.partition, each.offset): each for each in records}

    async def get(self, topic: str, partition: int, offset: int) -> Record | None:
        """One of them."""
        return self._records.get((topic, partition, offset))


class Offline:
    """Its console, its app, and somebody who asks it."""

    def __init__(self, console: Console, app: FastAPI, http: httpx.AsyncClient) -> None:
        self.console = console
        self.app = app
        self.http = http

    async def page(self, path: str) -> str:
        """A page as people get it."""
        answer = await self.http.get(path, headers={"accept": "text/html"})
        assert answer.status_code == 200, answer.text
        return answer.text

    async def send(self, path: str, *, by_script: bool = False, **form: str) -> httpx.Response:
        """A form of a page."""
        headers = {"accept": "text/html", "origin": "http://localhost"}
        if by_script:
            headers["hx-request"] = "true"
        return await self.http.post(path, data=form, headers=headers)


@asynccontextmanager
async def offline(folder: Path, records: Sequence[Record] = ()) -> AsyncIterator[Offline]:
    """A console that has read these records, and hears of no others."""
    settings = Settings(data_dir=str(folder), prefix="t.", queues=QUEUES, partitions=2)
    console = Console(settings, Registry.build([], QUEUES))
    path = folder / "projection.sqlite"

    def fill() -> None:
        store = open_store(path, "test t.", QUEUES, NOW)
        batch = Batch()
        Reader(ROLES, store.places()).read(records, batch)
        store.apply(batch)
        store.close()

    await asyncio.to_thread(fill)
    console.feed = Feed("nowhere:1", NAMES, QUEUES, path)
    console.feed.opened.set()
    console.feed.is_connected = True
    console.bulks = Bulks(console)
    console.records = Kept(records)  # type: ignore[assignment]
    app = make_app(console)
    transport = httpx.ASGITransport(app, client=("127.0.0.1", 1))
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as http:
        yield Offline(console, app, http)
    await console.bulks.close()


@asynccontextmanager
async def served(shop: Offline) -> AsyncIterator[str]:
    """Its address for a browser."""
    listening = listen("127.0.0.1", 0)
    server = uvicorn.Server(uvicorn.Config(shop.app, log_config=None, lifespan="off"))
    serving = asyncio.create_task(server.serve(sockets=[listening]))
    try:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
    finally:
        server.should_exit = True
        await serving


__all__ = ["NAMES", "NOW", "QUEUES", "Kept", "Offline", "offline"]
