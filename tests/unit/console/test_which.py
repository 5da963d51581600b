"""One id, several jobs: which of them a call means."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from small_console import SmallConsole, calling
from told import NOW

from streams.jobs.states import State
from streams.wire.commands import decode_command
from streams.wire.state import sent_to


@pytest.fixture
def console(tmp_path: Path) -> SmallConsole:
    return SmallConsole(tmp_path)


async def ask(console: SmallConsole, path: str, **which: str) -> tuple[int, dict[str, Any]]:
    console.read()
    async with calling(console) as client:
        said = await client.get(path, params=which)
        return said.status_code, said.json()


async def test_jobs_of_one_id_are_told_apart_by_name_queue_and_key(console: SmallConsole) -> None:
    # given four jobs with one id
    console.topics.sent("1", name="mail")
    console.topics.sent("1", name="mail", queue="bulk")
    console.topics.sent("1", name="mail", queue="bulk", key="mail:7")
    console.topics.sent("1", name="print", queue="bulk")
    # when nothing is said of them, then it is said what to add
    status, problem = await ask(console, "/jobs/1")
    assert status == 409
    assert problem["detail"] == (
        "4 jobs have the id 1: add ?name= and ?queue= and ?key= of the one that is meant; "
        "an empty ?key= is the one without a key"
    )
    of = {(each["queue"], each["name"], each["key"]) for each in problem["candidates"]}
    assert len(of) == 4
    # when it is added, then that one is meant
    for queue, name, key in of:
        status, found = await ask(console, "/jobs/1", queue=queue, name=name, key=key or "")
        assert status == 200, found
        assert (found["data"]["queue"], found["data"]["name"], found["data"]["key"]) == (
            queue,
            name,
            key,
        )
        status, found = await ask(console, "/jobs/1/why", queue=queue, name=name, key=key or "")
        assert (status, found["data"]["queue"]) == (200, queue)
    # and what tells some of them apart is said alone
    _, problem = await ask(console, "/jobs/1", queue="bulk", key="")
    assert problem["detail"].endswith("have the id 1: add ?name= of the one that is meant")
    _, problem = await ask(console, "/jobs/1", name="mail", key="")
    assert problem["detail"].endswith("have the id 1: add ?queue= of the one that is meant")
    status, problem = await ask(console, "/jobs/1", queue="default", key="mail:7")
    assert status == 404
    assert problem["detail"] == "there is no job 1 in queue default with the key mail:7"


@pytest.mark.parametrize(
    ("act", "body"),
    [
        ("cancel", None),
        ("reschedule", {"delay": "1h"}),
        ("replay", None),
        ("discard", {"reason": "no"}),
    ],
)
async def test_what_is_asked_goes_to_the_one_that_is_chosen(
    console: SmallConsole, act: str, body: dict[str, str] | None
) -> None:
    state = State.DEAD if act in ("replay", "discard") else State.SLEEPING
    for key in (None, "mail:7"):
        console.topics.entry("1", state, key=key, due=NOW)
        console.topics.entry("1", state, key=key, queue="bulk", due=NOW)
    console.read()
    async with calling(console) as client:
        assert (await client.post(f"/jobs/1/{act}", json=body)).status_code == 409
        which = {"queue": "bulk", "key": "mail:7"}
        said = await client.post(f"/jobs/1/{act}", params=which, json=body)
    assert said.status_code == 202, said.text
    (command,) = [each for each in console.lists.appended if each[0] != "t.jobs.actions"]
    assert command[0] == console.names.commands("bulk")
    assert command[2] is not None
    assert decode_command(command[1], command[2]).job.ordering_key == "mail:7"


async def test_of_a_job_that_was_sent_on_the_one_that_goes_on_is_meant(
    console: SmallConsole,
) -> None:
    # given a job that was sent on twice
    console.topics.over("1", State.DISCARDED, failure=("A", "no"), reason=sent_to("bulk", "mail"))
    console.topics.over(
        "1", State.DISCARDED, queue="bulk", failure=("A", "no"), reason=sent_to("bulk", "print")
    )
    console.topics.sent("1", name="print", queue="bulk", time=NOW + 1)
    # then the last one is meant, and each of the others if that is said
    status, found = await ask(console, "/jobs/1")
    assert (status, found["data"]["name"]) == (200, "print")
    status, found = await ask(console, "/jobs/1", queue="default")
    assert (status, found["data"]["reason"]) == (200, "sent to queue bulk as mail")
    status, found = await ask(console, "/jobs/1", name="mail")
    assert (status, found["data"]["queue"]) == (200, "bulk")


@pytest.mark.parametrize(
    ("state", "reason"),
    [(State.DISCARDED, "obsolete"), (State.CANCELLED, sent_to("bulk", "mail"))],
)
async def test_a_job_that_ended_otherwise_may_be_meant(
    console: SmallConsole, state: State, reason: str
) -> None:
    console.topics.over("1", state, reason=reason)
    console.topics.sent("1", queue="bulk")
    assert (await ask(console, "/jobs/1"))[0] == 409


async def test_pages_name_the_one_that_they_show(console: SmallConsole) -> None:
    console.topics.sent("1", queue="bulk")
    console.topics.sent("1", queue="bulk", key="mail:7")
    console.topics.sent("1", queue="bulk", key="mail:8", name="print")
    console.topics.sent("1", queue="bulk", key="mail:9", name="print")
    console.read()
    async with calling(console) as client:
        keyless = await client.get("/ui/jobs/bulk/mail/1")
        keyed = await client.get("/ui/jobs/bulk/mail/1", params={"key": "mail:7"})
        several = await client.get("/ui/jobs/bulk/print/1")
        console.topics.sent("2")
        console.read()
        alone = await client.get("/ui/jobs/default/mail/2")
    assert "curl 'http://localhost/jobs/1?name=mail&amp;key='" in keyless.text
    assert "curl 'http://localhost/jobs/1?name=mail&amp;key=mail%3A7'" in keyed.text
    assert "curl 'http://localhost/jobs/2'" in alone.text
    assert several.status_code == 409
    assert several.json()["detail"] == ("2 jobs are called so: add ?key= of the one that is meant")
