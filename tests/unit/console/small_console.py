"""A console on a projection in memory: what it is told is put into topics that are lists."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from sqlite3 import Connection
from typing import Any, TypeVar

import httpx
from told import QUEUES, Projection, Topics

from streams.console.app import make_app
from streams.console.console import Console
from streams.errors import BrokerUnavailable
from streams.jobs.registry import Registry
from streams.projection.feed import Feed
from streams.projection.job import Job
from streams.projection.kinds import Kinds
from streams.settings import Settings
from streams.wire.envelope import Record

T = TypeVar("T")


class Lists:
    """Topics to which is appended, and whose records are read by their offsets."""

    def __init__(self, topics: Topics) -> None:
        self._topics = topics
        self.appended: list[tuple[str, bytes, bytes | None]] = []
        self.refuses: Callable[[str, bytes | None], bool] = lambda topic, value: False
        self.takes_s: Callable[[str, bytes | None], float] = lambda topic, value: 0.0

    async def append(
        self, topic: str, *, key: bytes, value: bytes | None, partition: int, job_id: str | None
    ) -> None:
        """Append, or do not if it refuses that."""
        await asyncio.sleep(self.takes_s(topic, value))
        if self.refuses(topic, value):
            raise BrokerUnavailable("Kafka did not answer", job_id=job_id)
        self.appended.append((topic, key, value))

    async def get(self, topic: str, partition: int, offset: int) -> Record | None:
        """The record there."""
        for each in self._topics.records:
            if (each.topic, each.partition, each.offset) == (topic, partition, offset):
                return each
        return None


class SmallConsole(Console):
    """Reads what is put into its topics when it is told to."""

    def __init__(self, folder: Path) -> None:
        settings = Settings(data_dir=str(folder), prefix="t.", queues=QUEUES)
        super().__init__(settings, Registry.build([], QUEUES))
        self.topics = Topics()
        self.projection = Projection()
        self.lists = Lists(self.topics)
        self.records: Any = self.lists
        self.client: Any = type("Client", (), {"delivery": self.lists})()
        self.feed: Any = Feed("nowhere", self.names, QUEUES, folder / "unused")
        self.feed.reach_end = self._reach_end
        self.before_answer: Callable[[], None] = lambda: None
        self._read = 0

    async def ask(self, question: Callable[[Connection], T]) -> T:
        """Answer after whatever is to come before."""
        await asyncio.sleep(0)
        self.before_answer()
        return question(self.projection.db)

    def read(self) -> None:
        """Read what is new, and pass it on."""
        rows = self.projection.read(self.topics.records[self._read :])
        self._read = len(self.topics.records)
        store = self.projection.store
        self.changes.publish(rows, Kinds.of_writer(store.kinds, store.errors))

    def make_anew(self, *, first: str) -> None:
        """Have another file, in which one queue was read before the others."""
        self.projection = Projection()
        for is_first in (True, False):
            self.projection.read(
                each for each in self.topics.records if (f".{first}" in each.topic) == is_first
            )

    def job(self, id: str, **values: Any) -> Job:
        """The one with this id for which these values are so."""
        store = self.projection.store
        kinds = Kinds.of_writer(store.kinds, store.errors)
        jobs = [Job.of(row, kinds) for row in self.projection.rows.values() if row.id == id]
        (job,) = (
            job
            for job in jobs
            if all(getattr(job, name) == value for name, value in values.items())
        )
        return job

    async def _reach_end(self, timeout_s: float) -> bool:
        self.read()
        return True


@asynccontextmanager
async def calling(console: Console) -> AsyncIterator[httpx.AsyncClient]:
    """A client of it, as somebody on this machine."""
    transport = httpx.ASGITransport(make_app(console))
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
        yield client
