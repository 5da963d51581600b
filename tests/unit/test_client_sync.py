"""The synchronous client's thread: no wait outlives it."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from streams.client_sync import SyncJobClient
from streams.errors import StreamsError


class Client:
    """Stands in for the asynchronous one."""

    async def __aenter__(self) -> Client:
        return self

    async def __aexit__(self, *_: object) -> None: ...


def test_a_wait_ends_when_its_client_is_closed() -> None:
    opened: Any = Client
    sync = SyncJobClient(opened)
    sync.open()
    started = threading.Event()

    async def never() -> None:
        started.set()
        await asyncio.Event().wait()

    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(sync.run, never())
        assert started.wait(10)
        sync.close()
        with pytest.raises(StreamsError, match="closed while it was at work"):
            waiting.result(10)


def test_a_client_that_does_not_open_leaves_no_thread() -> None:
    def refuses() -> Any:
        raise ValueError("source")

    before = threading.active_count()
    with pytest.raises(ValueError, match="source"):
        SyncJobClient(refuses).open()

    assert threading.active_count() == before


def test_what_it_purges_its_client_purges() -> None:
    asked: list[Any] = []

    class Purging(Client):
        async def purge(self, *of: Any, **options: Any) -> None:
            asked.append((of, options))

    opened: Any = Purging
    with SyncJobClient(opened) as sync:
        sync.purge("bulk", "reports.send", reason="a mistake")
    assert asked == [(("bulk", "reports.send"), {"reason": "a mistake"})]
