"""A job is known again by what it is, also in a file that was made anew meanwhile."""

from __future__ import annotations

import asyncio
import json
from contextlib import aclosing
from pathlib import Path

import pytest
from small_console import SmallConsole, calling

from streams.console.story import again
from streams.console.waiting import changes, until_over
from streams.jobs.states import State
from streams.wire.commands import decode_command


@pytest.fixture
def console(tmp_path: Path) -> SmallConsole:
    """Knows two jobs of one id, and one of another; in another file they have other numbers."""
    console = SmallConsole(tmp_path)
    console.topics.sent("a", name="mail")
    console.topics.sent("a", name="receipt", queue="bulk")
    console.topics.sent("b", name="charge", queue="bulk")
    console.read()
    return console


async def test_a_wait_goes_on_with_its_job_when_the_file_is_made_anew(
    console: SmallConsole,
) -> None:
    # given one that waits for a job
    mail = console.job("a", name="mail")
    waiting = asyncio.create_task(until_over(console, mail, 5))
    await asyncio.sleep(0.01)
    # when the file is made anew in another order, and a job of its id ends before it does
    console.make_anew(first="bulk")
    assert console.job("a", name="receipt").row.n == mail.row.n
    console.topics.over("b", name="charge", queue="bulk")
    console.topics.over("a", name="receipt", queue="bulk")
    console.topics.over("a", State.CANCELLED, name="mail")
    console.read()
    # then it is told how its own has ended
    job = await waiting
    assert (job.name, job.row.state) == ("mail", console.job("a", name="mail").row.state)


async def test_what_is_told_of_a_change_is_of_the_file_that_it_was_in(
    console: SmallConsole,
) -> None:
    receipt = console.job("a", name="receipt")
    async with asyncio.timeout(5), aclosing(changes(console, receipt)) as following:
        assert (await anext(following)).name == "receipt"
        console.topics.entry(
            "a", State.RETRYING, name="receipt", queue="bulk", failure=("A", "no"), attempts=1
        )
        console.read()
        # when the file is another one by the time that it is told
        console.make_anew(first="bulk")
        told = await anext(following)
    assert (told.queue, told.name, told.error) == ("bulk", "receipt", "A")


async def test_what_is_asked_for_is_asked_of_the_job_that_was_looked_at(
    console: SmallConsole,
) -> None:
    async with calling(console) as client:
        # when the file is made anew between the look and the command
        looks = iter((lambda: None, lambda: console.make_anew(first="bulk")))
        console.before_answer = lambda: next(looks, lambda: None)()
        said = await client.post("/jobs/b/cancel")
    assert said.status_code == 202, said.text
    (command,) = [each for each in console.lists.appended if each[0] == "t.jobs.bulk.commands"]
    assert command[2] is not None
    job = decode_command(command[1], command[2]).job
    assert (job.name, job.id) == ("charge", "b")


async def test_a_job_is_looked_up_by_what_it_is(console: SmallConsole) -> None:
    mail = console.job("a", name="mail")
    console.make_anew(first="bulk")
    found = await again(console, mail)
    assert found is not None
    assert found.name == "mail"


async def test_the_end_of_one_job_is_not_told_as_that_of_another(console: SmallConsole) -> None:
    # given two jobs that ended at the same place of their topics
    console.topics.over("a", State.CANCELLED, name="mail", reason="too late")
    console.topics.over("a", State.CANCELLED, name="receipt", queue="bulk", reason="enough")
    console.read()

    async def end_of(name: str) -> str:
        said = await client.get("/jobs/a/events", params={"name": name})
        reason: str = json.loads(said.text.partition("data: ")[2].splitlines()[0])["failedReason"]
        return reason

    async with calling(console) as client:
        # when the second is asked for as soon as it has the number that the first had
        assert await end_of("mail") == "too late"
        console.make_anew(first="bulk")
        assert await end_of("receipt") == "enough"
