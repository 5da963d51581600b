"""Answers that many share."""

from __future__ import annotations

import asyncio

import pytest

from streams.console.sharing import Shared


class Asked:
    """A question that counts how often it is asked."""

    def __init__(self) -> None:
        self.times = 0
        self.answer = asyncio.Event()

    async def __call__(self) -> int:
        self.times += 1
        await self.answer.wait()
        return self.times


async def test_many_who_ask_at_once_are_told_one_answer() -> None:
    shared, asked = Shared(kept_s=60), Asked()
    waiting = [asyncio.create_task(shared.once("k", asked)) for _ in range(100)]
    await asyncio.sleep(0)
    asked.answer.set()
    assert set(await asyncio.gather(*waiting)) == {1}
    assert await shared.once("k", asked) == 1
    assert await shared.once("other", asked) == 2


async def test_one_that_takes_long_is_not_asked_again_beside_itself() -> None:
    # given an answer that takes longer than one is kept
    shared, asked = Shared(kept_s=0.01), Asked()
    first = asyncio.create_task(shared.once("k", asked))
    await asyncio.sleep(0.05)
    # when somebody else asks, then he waits for the same
    second = asyncio.create_task(shared.once("k", asked))
    await asyncio.sleep(0)
    asked.answer.set()
    assert [await first, await second] == [1, 1]
    # and it is kept for longer than it took
    assert await shared.once("k", asked) == 1


async def test_what_is_old_is_asked_anew() -> None:
    shared, asked = Shared(kept_s=0), Asked()
    asked.answer.set()
    assert await shared.once("k", asked) == 1
    async with asyncio.timeout(5):
        while await shared.once("k", asked) == 1:
            await asyncio.sleep(0.001)


async def test_a_failure_is_not_kept() -> None:
    shared, asked = Shared(kept_s=60), Asked()
    asked.answer.set()

    async def fail() -> int:
        raise ValueError

    with pytest.raises(ValueError):
        await shared.once("k", fail)
    assert await shared.once("k", asked) == 1


async def test_who_goes_away_does_not_take_the_answer_of_others_along() -> None:
    shared, asked = Shared(kept_s=60), Asked()
    gone = asyncio.create_task(shared.once("k", asked))
    stays = asyncio.create_task(shared.once("k", asked))
    await asyncio.sleep(0)
    gone.cancel()
    asked.answer.set()
    assert await stays == 1
