"""Console: what all requests share. Reads go to the projection, writes to Kafka."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Hashable, Sequence
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from sqlite3 import Connection
from typing import TYPE_CHECKING, Any, Final, Self, TypeVar

from streams.client import JobClient
from streams.console.changes import Changes
from streams.console.faults import Faults
from streams.console.on_record import Ends
from streams.console.problems import unavailable
from streams.console.questions import Questions
from streams.console.readers import Readers
from streams.console.records import Records
from streams.console.secret import read_secret
from streams.console.sharing import Shared
from streams.console.which import Which
from streams.jobs.registry import Registry
from streams.projection.feed import Feed
from streams.projection.file import claim
from streams.projection.job import Job, jobs_with_id
from streams.projection.retention import Retention
from streams.schedules.caller import Caller
from streams.settings import Settings
from streams.wire.topics import TopicNames

if TYPE_CHECKING:
    from streams.console.bulk import Bulks

T = TypeVar("T")

_CATCH_UP_S: Final = 5.0
_DELIVERY_S: Final = 8
_OPEN_S: Final = 3.0


class Console:
    """Enter it, serve requests, leave it."""

    def __init__(self, settings: Settings, registry: Registry) -> None:
        self.settings = settings
        self.registry = registry  # of the handlers that are known here; there may be none
        self.names = TopicNames(settings.prefix)
        self.changes = Changes()
        self.records = Records(settings.bootstrap_servers)
        self.client = JobClient(
            settings.bootstrap_servers,
            source="console",
            prefix=settings.prefix,
            client_id="streams-console",
            objects=settings.objects_at,
            delivery_timeout=f"{_DELIVERY_S}s",
            connects_late=True,  # Kafka may be away
        )
        self.readers = Readers()
        self.ends = Ends(self)
        self.ending = asyncio.Event()  # it is about to be left: who waits is let go
        self.caller = Caller(settings.bootstrap_servers, settings.prefix, registry)
        self.cron_secret = read_secret(settings)
        self.feed: Feed
        self.bulks: Bulks
        self._questions = Questions(Faults(lambda generation: self.feed.spoil(generation)))
        self._shared = Shared()
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        from streams.console.bulk import Bulks  # which knows us

        directory = Path(self.settings.data_dir) / "console"
        path = self._stack.enter_context(claim(directory))
        self.feed = Feed(
            self.settings.bootstrap_servers,
            self.names,
            self.settings.queues,
            path,
            retention=Retention.of_settings(self.settings),
            on_rows=self.changes.publish,
        )
        await self._stack.enter_async_context(self.client)
        reading = asyncio.create_task(self.feed.run(), name="projection")
        self._stack.push_async_callback(_cancel, reading)
        self._stack.push_async_callback(self.records.close)
        self._stack.callback(self._questions.close)
        self._stack.push_async_callback(self.caller.close)
        self._stack.push_async_callback(self.ends.close)
        self.bulks = Bulks(self)
        self._stack.push_async_callback(self.bulks.close)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    async def ask(self, question: Callable[[Connection], T]) -> T:
        """Ask the projection something, beside the loop.

        Raises:
            Problem: there is no projection yet, too many ask, or it takes too long.
        """
        if not self.feed.opened.is_set():
            try:
                await asyncio.wait_for(self.feed.opened.wait(), _OPEN_S)
            except TimeoutError:
                raise unavailable("nothing was read from Kafka yet: is it running?") from None
        return await self._questions.ask(self.feed.path, self.feed.generation, question)

    def running(self, queue: str, now: int) -> int:
        """How many attempts workers say that they run of a queue."""
        return sum(
            each.queue == queue
            for worker in self.feed.board.workers(now)
            for each in worker.running
        )

    async def once(self, key: Hashable, ask: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """What many ask for at the same moment, asked once."""
        return await self._shared.once(key, ask)

    async def find(self, which: Which) -> Sequence[Job]:
        """All jobs that may be meant; what was accepted before this call is among them.

        Raises:
            Problem: it can't be said whether there is one, as not all was read yet.
        """

        def look(db: Connection) -> list[Job]:
            return [job for job in jobs_with_id(db, which.id) if which.fits(job)]

        found = await self.ask(look)
        if not found:
            if not await self.feed.reach_end(_CATCH_UP_S):
                raise unavailable(
                    "not all jobs were read yet, so that it can't be said whether this one is there"
                )
            found = await self.ask(look)
        return found


async def _cancel(task: asyncio.Task[None]) -> None:
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
