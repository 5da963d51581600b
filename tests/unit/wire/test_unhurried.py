"""A producer whose broker is away asks for it at intervals."""

from __future__ import annotations

import asyncio

import pytest

from streams.wire.producer import close_producer, new_producer


@pytest.mark.parametrize(("answers", "waits"), [(False, [0.1]), (True, [])])
async def test_after_a_question_that_nobody_answered_it_waits(
    monkeypatch: pytest.MonkeyPatch, answers: bool, waits: list[float]
) -> None:
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    async def asked(*_: object) -> bool:
        return answers

    monkeypatch.setattr("aiokafka.client.AIOKafkaClient._metadata_update", asked)
    producer = new_producer("127.0.0.1:1", "test")
    monkeypatch.setattr(asyncio, "sleep", sleep)

    assert await producer.client._metadata_update(producer.client.cluster, []) is answers

    assert slept == waits
    monkeypatch.undo()
    await close_producer(producer)
