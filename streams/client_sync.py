"""JobClient for code without an event loop: one thread runs the asynchronous one."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine, Iterable
from typing import TYPE_CHECKING, Any, Self, TypeVar

from streams.errors import StreamsError

if TYPE_CHECKING:
    from streams.client import JobClient
    from streams.client_handle import Handle, JobStatus
    from streams.contracts import Event, JobPayload
    from streams.jobs.durations import Duration

T = TypeVar("T")


class SyncJobClient:
    """Each method takes, returns and raises what that of `JobClient` does; any thread may call."""

    def __init__(self, open_client: Callable[[], JobClient]) -> None:
        self._open_client = open_client
        self._client: JobClient | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None

    def __enter__(self) -> Self:
        self._loop = asyncio.new_event_loop()
        # A daemon, so that a program that forgets to close can end.
        self._thread = threading.Thread(
            target=self._loop.run_forever, name="streams-client", daemon=True
        )
        self._thread.start()
        try:
            self._client = self._open_client()
            self.run(self._client.__aenter__())
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        try:
            if self._client is not None:
                self.run(self._client.__aexit__())
        finally:
            self._stop()

    def _stop(self) -> None:
        loop, self._loop, self._client = self._loop, None, None
        if loop is None or self._thread is None:
            return
        loop.call_soon_threadsafe(loop.stop)
        self._thread.join()
        loop.close()

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine of the asynchronous client to its end."""
        if self._loop is None or threading.current_thread() is self._thread:
            work.close()
            raise StreamsError("this client is not open: use `with JobClient.sync(...) as jobs:`")
        future = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return future.result()
        except BaseException:
            future.cancel()  # Ctrl-C ends the work as well
            raise

    @property
    def _open(self) -> JobClient:
        if self._client is None:
            raise StreamsError("this client is not open: use `with JobClient.sync(...) as jobs:`")
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

    def enqueue_raw(
        self, name: str, queue: str, payload: dict[str, Any] | bytes, **options: Any
    ) -> SyncHandle:
        """See `JobClient.enqueue_raw`."""
        return SyncHandle(self, self.run(self._open.enqueue_raw(name, queue, payload, **options)))


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

    def cancel(self, reason: str = "") -> None:
        """See `Handle.cancel`."""
        self._client.run(self.handle.cancel(reason))
