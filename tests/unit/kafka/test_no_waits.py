"""A worker starts and ends without the seconds that Faust waits for nothing."""

from __future__ import annotations

import asyncio
from typing import Any

import mode
import pytest

from streams.jobs.registry import Registry
from streams.kafka.signals import LAST_WORD, JobsWorker
from streams.kafka.worker import JobsApp
from streams.settings import Settings


def app() -> JobsApp:
    return JobsApp(Settings(), Registry([], ["default"]))


async def test_it_joins_its_group_without_waiting_for_tables(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    tables = app().tables
    slept: list[float] = []

    async def nothing() -> None: ...

    async def sleep(self: mode.Service, seconds: float) -> None:
        slept.append(seconds)

    monkeypatch.setattr(tables.app.consumer, "assignment", set)
    monkeypatch.setattr(tables.recovery, "start", nothing)
    monkeypatch.setattr(mode.Service, "sleep", sleep)
    # when Faust starts its tables
    await tables.on_start()
    # then what is to subscribe to the topics need not wait
    assert tables._tables_registered.is_set()
    assert slept == []


def test_its_loop_closes_soon_after_all_is_over(monkeypatch: pytest.MonkeyPatch) -> None:
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    worker = JobsWorker(app(), loop=loop)
    slept: list[float] = []

    async def sleep(seconds: float, *_: Any) -> None:
        slept.append(seconds)

    monkeypatch.setattr(asyncio, "sleep", sleep)
    try:
        worker._shutdown_loop()
    finally:
        asyncio.set_event_loop(None)
    assert loop.is_closed()
    assert sum(slept) <= LAST_WORD
