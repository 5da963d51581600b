"""JobClient for code without an event loop: one thread runs the asynchronous one."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import AsyncGenerator, Callable, Coroutine, Generator, Iterable
from concurrent.futures import wait
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final, Self, TypeVar

from streams.errors import StreamsError

if TYPE_CHECKING:
    from datetime import datetime

    from streams.client import JobClient
    from streams.client_handle import Handle, JobStatus
    from streams.client_watch import Change
    from streams.contracts import Event, JobPayload
    from streams.cron.schedule import Cron, Every
    from streams.durations import Duration

T = TypeVar("T")


_NOT_OPEN: Final = (
    "this client is not open: use `with JobClient.sync(...) as jobs:`, or call its open() first"
)
_FORKED: Final = (
    "this client was opened before a fork; open it in the child: call its open() there "
    "(gunicorn: post_fork, uWSGI: postfork, Celery: worker_process_init)"
)
_LOOK_S: Final = 1.0  # how often a wait makes sure that somebody is at work
_STOP_S: Final = 5.0
_LEFT_TO_PARENT: list[object] = []


class SyncJobClient:
    """Each method takes, returns and raises what that of `JobClient` does; any thread may call.

    Either `with`, or `open()` once in each process that sends (Flask, Django) and `close()` at its
    end. A process that forks leaves its client behind: the child opens it again.
    """

    def __init__(self, open_client: Callable[[], JobClient]) -> None:
        self._open_client = open_client
        self._client: JobClient | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._pid = 0  # of the process that opened it
        self._opening = threading.Lock()

    def __enter__(self) -> Self:
        self.open()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def open(self) -> None:
        """Connect; does nothing if it is open already.

        Raises:
            BrokerUnavailable: no broker answered in time.
        """
        if self._is_forked:
            self._leave_to_parent()
        with self._opening:
            if self._client is not None:
                return
            self._pid = os.getpid()
            self._loop = asyncio.new_event_loop()
            # A daemon, so that a program that forgets to close can end.
            self._thread = threading.Thread(
                target=self._loop.run_forever, name="streams-client", daemon=True
            )
            self._thread.start()
            try:
                client = self._open_client()
                self.run(client.__aenter__())
                self._client = client
            except BaseException:
                self._stop()
                raise

    def close(self) -> None:
        """Send what is buffered and disconnect; does nothing if it is not open here."""
        if self._is_forked:
            return self._leave_to_parent()
        with self._opening:
            try:
                if self._client is not None:
                    self.run(self._client.__aexit__())
            finally:
                self._stop()

    @property
    def _is_forked(self) -> bool:
        return self._pid not in (0, os.getpid())

    def _leave_to_parent(self) -> None:
        """Forget what a fork copied: the thread is not here, and the connections are not ours."""
        # Kept, as being collected would close what is still open in the parent.
        _LEFT_TO_PARENT.append((self._client, self._loop))
        self._client = self._loop = self._thread = None
        self._pid = 0
        self._opening = threading.Lock()  # the other one may have been held

    def _stop(self) -> None:
        loop, self._loop, self._client, self._pid = self._loop, None, None, 0
        if loop is None or self._thread is None:
            return
        loop.call_soon_threadsafe(loop.stop)
        self._thread.join(_STOP_S)
        if not self._thread.is_alive():
            loop.close()

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine of the asynchronous client to its end.

        Raises:
            StreamsError: it was not opened, or not in this process.
        """
        loop, thread = self._loop, self._thread
        if self._is_forked:
            work.close()
            raise StreamsError(_FORKED)
        if loop is None or thread is None or threading.current_thread() is thread:
            work.close()
            raise StreamsError(_NOT_OPEN)
        future = asyncio.run_coroutine_threadsafe(work, loop)
        try:
            # Whatever runs there has a limit of its own; without its thread it would never end.
            while not wait((future,), _LOOK_S).done:
                if not thread.is_alive():
                    raise StreamsError("this client was closed while it was at work")
            return future.result()
        except BaseException:
            future.cancel()  # Ctrl-C ends the work as well
            raise

    @property
    def _open(self) -> JobClient:
        if self._is_forked:
            raise StreamsError(_FORKED)
        if self._client is None:
            raise StreamsError(_NOT_OPEN)
        return self._client

    def emit(self, event: Event, **options: Any) -> str:
        """See `JobClient.emit`."""
        return self.run(self._open.emit(event, **options))

    def emit_raw(self, type: str, data: dict[str, Any], **options: Any) -> str:
        """See `JobClient.emit_raw`."""
        return self.run(self._open.emit_raw(type, data, **options))

    def enqueue(self, payload: JobPayload, **options: Any) -> SyncHandle:
        """See `JobClient.enqueue`."""
        return SyncHandle(self, self.run(self._open.enqueue(payload, **options)))

    def enqueue_many(self, payloads: Iterable[JobPayload], **options: Any) -> list[SyncHandle]:
        """See `JobClient.enqueue_many`; `payloads` is iterated in the client's own thread."""
        handles = self.run(self._open.enqueue_many(payloads, **options))
        return [SyncHandle(self, handle) for handle in handles]

    def enqueue_batch(
        self, jobs: Iterable[JobPayload], *, then: JobPayload, **options: Any
    ) -> SyncHandle:
        """See `JobClient.enqueue_batch`; `jobs` is iterated in the client's own thread."""
        return SyncHandle(self, self.run(self._open.enqueue_batch(jobs, then=then, **options)))

    def purge(self, queue: str, name: str | None = None, **options: Any) -> None:
        """See `JobClient.purge`."""
        self.run(self._open.purge(queue, name, **options))

    def schedule(self, name: str, schedule: Cron | Every, payload: JobPayload) -> None:
        """See `JobClient.schedule`."""
        self.run(self._open.schedule(name, schedule, payload))

    def unschedule(self, name: str) -> bool:
        """See `JobClient.unschedule`."""
        return self.run(self._open.unschedule(name))

    def watch(self, **wanted: Any) -> Generator[Change, None, None]:
        """See `JobClient.watch`; read it to the end, or close it."""
        changes = self._open.watch(**wanted)
        try:
            while (change := self.run(_next(changes))) is not None:
                yield change
        finally:
            with suppress(StreamsError):  # the client is closed, and it with it
                self.run(changes.aclose())

    def enqueue_raw(
        self, name: str, queue: str, payload: dict[str, Any] | bytes, **options: Any
    ) -> SyncHandle:
        """See `JobClient.enqueue_raw`."""
        return SyncHandle(self, self.run(self._open.enqueue_raw(name, queue, payload, **options)))


async def _next(changes: AsyncGenerator[Change, None]) -> Change | None:
    return await anext(changes, None)


class SyncHandle:
    """`Handle` for code without an event loop; its fields are in `handle`."""

    def __init__(self, client: SyncJobClient, handle: Handle) -> None:
        self.handle = handle
        self._client = client

    def __repr__(self) -> str:
        return f"Sync{self.handle!r}"

    @property
    def id(self) -> str:
        """The job's id."""
        return self.handle.id

    def status(self) -> JobStatus:
        """See `Handle.status`."""
        return self._client.run(self.handle.status())

    def result(self, timeout: Duration = "5m") -> Any:
        """See `Handle.result`."""
        return self._client.run(self.handle.result(timeout))

    def cancel(self, reason: str = "") -> bool:
        """See `Handle.cancel`."""
        return self._client.run(self.handle.cancel(reason))

    def reschedule(self, *, delay: Duration | None = None, run_at: datetime | None = None) -> bool:
        """See `Handle.reschedule`."""
        return self._client.run(self.handle.reschedule(delay=delay, run_at=run_at))
