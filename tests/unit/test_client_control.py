"""What a client knows of schedules: in bounded time, and nothing that it is not sure of."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from streams import client_control
from streams.client_control import ControlView
from streams.errors import BrokerUnavailable
from streams.wire.envelope import Record
from streams.wire.schedules import Ticked, encode_ticked

TOPIC = "jobs.control"
TICKED = Ticked(last=1, shape="?", queue="bulk")


def view(bootstrap: str = "nowhere:1", timeout_ms: int = 1_000) -> ControlView:
    return ControlView(bootstrap, TOPIC, timeout_ms=timeout_ms, kafka={})


class Reader:
    """Stands in for one that reads Kafka; each reading takes what is there."""

    def __init__(self, records: list[tuple[bytes, bytes | None]]) -> None:
        self.records = records
        self.readings = self.opened = 0
        self.fails = False
        self._at = 0

    @asynccontextmanager
    async def open(self, *_: Any, **__: Any) -> AsyncIterator[Reader]:
        self.opened += 1
        self._at = 0
        yield self

    async def to_end(self) -> AsyncIterator[Record]:
        self.readings += 1
        await asyncio.sleep(0)
        while self._at < len(self.records):
            key, value = self.records[self._at]
            self._at += 1
            yield Record(TOPIC, 0, self._at, 0, key, value, ())
            if self.fails:
                self.fails = False
                raise BrokerUnavailable("it stopped answering")


@pytest.fixture
def reader(monkeypatch: pytest.MonkeyPatch) -> Reader:
    reader = Reader([])
    monkeypatch.setattr(client_control, "open_reader", reader.open)
    return reader


async def test_it_says_what_is_there_now(reader: Reader) -> None:
    known = view()
    reader.records += [(b"cron-added:a", b"{}"), encode_ticked("b", TICKED), (b"cron:c", b"?")]
    assert (await known.scheduled("a")).is_added
    assert (await known.scheduled("b")).is_in_code
    assert (await known.scheduled("c")).ticked is None
    reader.records.append((b"cron-added:a", None))
    assert not (await known.scheduled("a")).is_added
    assert reader.opened == 1


async def test_those_who_ask_at_once_share_a_reading(reader: Reader) -> None:
    known = view()
    await asyncio.gather(*(known.scheduled(f"n{n}") for n in range(100)))
    assert reader.readings == 2  # the others asked before the second one began


async def test_after_an_error_it_begins_anew(reader: Reader) -> None:
    known = view()
    reader.records += [(b"cron-added:a", b"{}"), (b"cron-added:b", b"{}")]
    reader.fails = True
    with pytest.raises(BrokerUnavailable, match="stopped"):
        await known.scheduled("b")
    assert (await known.scheduled("b")).is_added
    assert reader.opened == 2


async def test_a_broker_that_says_nothing_ends_the_call_in_time() -> None:
    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    server = await asyncio.start_server(silent, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    began = time.monotonic()
    with pytest.raises(BrokerUnavailable):
        await view(f"127.0.0.1:{port}", 500).scheduled("a")
    assert time.monotonic() - began < 5
    server.close()
