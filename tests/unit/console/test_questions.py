"""Questions to the projection: bounded in number and in time."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from pathlib import Path
from sqlite3 import Connection

import pytest

from streams.console.faults import Faults
from streams.console.problems import Problem
from streams.console.questions import Questions
from streams.projection.connecting import connect

ENDLESS = "with recursive n(x) as (select 1 union all select x + 1 from n) select sum(x) from n"


def endless(db: Connection) -> int:
    return int(db.execute(ENDLESS).fetchone()[0])


def many_small(db: Connection) -> None:
    while True:
        db.execute("select 1").fetchone()


def one(db: Connection) -> int:
    return int(db.execute("select 1").fetchone()[0])


def faults() -> Faults:
    return Faults(lambda generation: None)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    made = tmp_path / "projection.sqlite"
    connect(made, is_writer=True).close()
    return made


@pytest.fixture
async def questions() -> AsyncIterator[Questions]:
    made = Questions(faults(), at_once=1, waiting_max=3, limit_s=0.2)
    yield made
    made.close()


@pytest.mark.parametrize("question", [endless, many_small])
async def test_one_that_takes_too_long_is_ended_and_told_so(
    questions: Questions, path: Path, question: object
) -> None:
    async with asyncio.timeout(5):
        with pytest.raises(Problem, match="takes too long") as said:
            await questions.ask(path, 1, question)  # type: ignore[arg-type]
    assert said.value.status == 503
    assert "Retry-After" in said.value.headers
    # and the next one is answered
    assert await questions.ask(path, 1, one) == 1


async def test_one_whose_turn_does_not_come_in_time_is_told_so(path: Path) -> None:
    questions = Questions(faults(), at_once=1, limit_s=0.2)
    go_on = threading.Event()
    slow = asyncio.create_task(questions.ask(path, 1, lambda _: go_on.wait(5)))
    await asyncio.sleep(0)
    try:
        with pytest.raises(Problem, match="in time"):
            await questions.ask(path, 1, one)
    finally:
        go_on.set()
        assert await slow
        questions.close()
    assert questions.waiting == 0


async def test_more_than_may_wait_are_told_to_come_again(path: Path) -> None:
    questions = Questions(faults(), at_once=1, waiting_max=3)
    go_on = threading.Event()
    asked = [asyncio.create_task(questions.ask(path, 1, lambda _: go_on.wait(5))) for _ in "abc"]
    await asyncio.sleep(0)
    with pytest.raises(Problem, match="3 questions wait") as said:
        await questions.ask(path, 1, one)
    assert said.value.status == 503
    go_on.set()
    assert all(await asyncio.gather(*asked))
    assert await questions.ask(path, 1, one) == 1
    questions.close()


async def test_who_goes_away_leaves_no_question_behind(path: Path) -> None:
    questions = Questions(faults(), at_once=1)
    began = threading.Event()

    def slow(db: Connection) -> int:
        began.set()
        return endless(db)

    asking = asyncio.create_task(questions.ask(path, 1, slow))
    await asyncio.to_thread(began.wait)
    # when he does
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    # then the thread is free for others
    async with asyncio.timeout(5):
        assert await questions.ask(path, 1, one) == 1
    questions.close()


async def test_another_generation_is_another_connection(questions: Questions, path: Path) -> None:
    first = await questions.ask(path, 1, id)
    assert await questions.ask(path, 1, id) == first

    def is_open(db: Connection) -> bool:
        return db.execute("select 1").fetchone() is not None

    assert await questions.ask(path, 2, is_open)


async def test_a_file_that_has_gone_is_told_as_such(questions: Questions, tmp_path: Path) -> None:
    path = tmp_path / "gone.sqlite"
    with pytest.raises(Problem, match="made anew"):
        await questions.ask(path, 1, one)
