"""Pages, of a projection that was written beforehand."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from sqlite3 import Connection
from typing import Any

import pytest
from offline import NAMES, NOW, Offline

from streams.errors import BrokerUnavailable
from streams.projection.progress import Progress
from streams.wire.actions import OperatorAction

PAGES = (
    "/",
    "/ui/jobs",
    "/ui/dead-letters",
    "/ui/schedules",
    "/ui/queues",
    "/ui/workers",
    "/ui/actions",
)
SCRIPT = {"accept": "text/html", "hx-request": "true"}


def at(progress: Progress, position: int, end: int) -> None:
    progress.begin(position, 0, end, ("t", 0))


@pytest.mark.parametrize("path", PAGES)
async def test_every_page_tells_how_far_its_list_is(shop: Offline, path: str) -> None:
    progress = shop.console.feed._progress
    at(progress, 0, 0)
    shop.console.feed.board.begin((NAMES.actions, 0), 0, 0)
    assert told(await shop.page(path)) == "Follows Kafka: up to date"
    progress.ends_at(("t", 0), 12)
    assert told(await shop.page(path)) == "Follows Kafka: 12 records behind"
    progress.ends_at(("t", 0), 1_234)
    assert told(await shop.page(path)) == "Behind Kafka: 1\u202f234 records"
    shop.console.feed.is_connected = False
    assert told(await shop.page(path)) == "Kafka does not answer"


async def test_it_is_told_while_it_is_built_and_by_each_tick(shop: Offline) -> None:
    at(shop.console.feed._progress, 43, 100)
    assert told(await shop.page("/ui/standing")) == "Building the lists: 43 %"
    # only the word is read out, which seldom changes
    assert "43" not in (await shop.page("/ui/standing")).split('role="status">')[1].split("<")[0]
    health = (await shop.http.get("/health")).json()["projection"]
    assert health == {"connected": True, "lag": 57, "built": False}


def told(text: str) -> str:
    _, _, found = text.partition('<span id="lag"')
    shape = r"[^>]*><span role=.status.>([^<]*)</span>(?:(: )<span>([^<]*)</span>)?</span>"
    shown = re.match(shape, found)
    assert shown is not None
    return "".join(filter(None, shown.groups()))


async def test_many_who_look_at_a_page_ask_for_it_once(shop: Offline) -> None:
    asked: list[Any] = []
    ask = shop.console.ask

    async def counted(question: Callable[[Connection], Any]) -> Any:
        asked.append(question)
        return await ask(question)

    shop.console.ask = counted  # type: ignore[method-assign]
    for path in (
        "/ui/overview",
        "/ui/jobs?part=true",
        "/ui/jobs?part=true&q=late",
        "/ui/dead-letters?part=true",
        "/ui/queues?part=true",
    ):
        await shop.page(path)
        once = len(asked)
        for _ in range(20):
            await shop.page(path)
        assert len(asked) == once, path
    # but a page that is opened is as things are
    before = len(asked)
    await shop.page("/ui/jobs")
    assert len(asked) > before


async def test_a_preview_counts_at_once_what_it_is_about(shop: Offline) -> None:
    began = time.monotonic()
    for form, verb, said in (
        ({}, "replay", "Replay 7 letters?"),
        ({"error": "shop.Refused"}, "discard", "Discard 7 letters?"),
        ({"q": "dead-3"}, "discard", "Discard 1 letter?"),
        ({"queue": "bulk"}, "discard", "Discard 0 letters?"),
    ):
        answer = await shop.send("/ui/dead-letters/preview", by_script=True, verb=verb, **form)
        assert said in answer.text, answer.text
        assert answer.text.startswith("<dialog")
    cancel = await shop.send("/ui/jobs/cancel/preview", by_script=True)
    assert "Cancel 3 jobs?" in cancel.text
    over = await shop.send("/ui/jobs/cancel/preview", by_script=True, state="completed")
    assert "Cancel 0 jobs?" in over.text
    assert "Cancel them" not in over.text
    assert time.monotonic() - began < 5  # Kafka, which is not there, was not asked


async def test_a_count_that_is_not_done_in_time_says_so(
    shop: Offline, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("streams.console.counting._BUDGET_MS", 0)
    monkeypatch.setattr("streams.projection.listing._LOOKS_MAX", 4)
    some = await shop.send("/ui/dead-letters/preview", verb="replay", q="dead")
    assert "Replay at least 4 letters?" in some.text
    none = await shop.send("/ui/dead-letters/preview", verb="replay", q="dead-0")
    assert "Replay what fits?" in none.text
    assert "Replay them" in none.text


async def test_without_scripts_a_preview_is_a_page(shop: Offline) -> None:
    answer = await shop.send("/ui/dead-letters/preview", verb="discard", key="", q=" dead-1 ")
    assert answer.status_code == 200
    assert "<html" in answer.text
    assert "<dialog aria-labelledby" not in answer.text
    assert 'href="/ui/dead-letters?q=dead-1"' in answer.text
    unknown = await shop.send("/ui/dead-letters/preview", verb="eat")
    assert unknown.status_code == 422


async def test_what_is_asked_for_is_bounded_everywhere(shop: Offline) -> None:
    for field, most in (("queue", 500), ("name", 500), ("key", 500), ("error", 500), ("q", 200)):
        long = "x" * (most + 1)
        assert (await shop.http.get("/ui/jobs", params={field: long})).status_code == 422
        assert (await shop.http.get("/ui/dead-letters", params={field: long})).status_code == 422
        answer = await shop.send("/ui/jobs/cancel/preview", **{field: long})
        assert answer.status_code == 422, field
    assert (await shop.http.get("/ui/jobs", params={"q": " late-1 "})).text.count("late-1") > 1


async def test_dead_letters_that_nobody_could_read_are_listed_and_counted(shop: Offline) -> None:
    async def ask(**query: Any) -> Any:
        answer = await shop.http.get("/dead-letters", params={"undecodable": "true", **query})
        assert answer.status_code == 200, answer.text
        return answer.json()

    # in pages, the latest first
    first = await ask(limit=3)
    assert [each["origin"]["offset"] for each in first["data"]] == [4, 3, 2]
    assert first["data"][0]["letter"] == f"{NAMES.queue('bulk')}/0/4"
    assert first["data"][0]["message"] == "no id in 4"
    rest = await ask(limit=3, cursor=first["cursor"])
    assert [each["origin"]["offset"] for each in rest["data"]] == [1, 0]
    assert rest["cursor"] is None
    # of one queue, and counted
    assert len((await ask(queue="bulk"))["data"]) == 2
    assert (await ask(by="queue"))["data"] == [
        {"queue": "default", "count": 3},
        {"queue": "bulk", "count": 2},
    ]
    assert (await ask(by="error"))["data"] == [{"error": "UndecodableRecord", "count": 5}]
    # what they do not have is no filter
    for wrong in ({"job": "mail"}, {"by": "job"}, {"text": "x"}, {"cursor": "x"}):
        answer = await shop.http.get("/dead-letters", params={"undecodable": "true", **wrong})
        assert answer.status_code == 422
    assert "the latest 5 of 5" in await shop.page("/ui/dead-letters")


async def test_actions_are_told_from_memory(shop: Offline) -> None:
    board = shop.console.feed.board
    board.begin((NAMES.actions, 0), 0, 0)
    action = OperatorAction(id="a1", at=NOW, by="ada", what="queues pause", on="bulk")
    board.actions.note(action)
    assert (await shop.http.get("/actions")).json()["data"][0]["by"] == "ada"
    assert (await shop.http.get("/actions/a1")).json()["data"]["state"] == "running"
    assert "queues pause" in await shop.page("/ui/actions/a1")
    assert "queues pause" in await shop.page("/ui/actions?part=true")


@pytest.mark.parametrize(
    ("id", "verb", "title"),
    [
        ("late-0", "cancel", "Cancel this job?"),
        ("dead-0", "discard", "Discard this dead letter?"),
    ],
)
async def test_a_job_is_ended_by_plain_forms_as_well(
    shop: Offline, id: str, verb: str, title: str
) -> None:
    path = f"/ui/jobs/default/mail/{id}/{verb}"
    # without scripts it is a page, which says what it is about and leads back
    whole = await shop.page(path)
    assert title in whole
    assert f'<form class="stack" action="{path}" method="post">' in whole
    assert f"mail {id}" in whole
    assert f'href="/ui/jobs/default/mail/{id}"' in whole
    # with them it is a dialog of the page where it was asked
    part = await shop.http.get(path, headers=SCRIPT)
    assert part.text.startswith('<dialog aria-labelledby="sure-title">')
    # and nothing else is asked so
    for wrong in (f"/ui/jobs/default/mail/{id}/eat", f"/ui/jobs/bulk/mail/{id}/{verb}"):
        assert (await shop.http.get(wrong, headers=SCRIPT)).status_code in (404, 503)


@pytest.mark.parametrize("field", ["queue", "key", "error"])
async def test_an_empty_filter_is_a_mistake_of_a_program(shop: Offline, field: str) -> None:
    for path in ("/jobs", "/dead-letters"):
        answer = await shop.http.get(path, params={field: ""})
        assert answer.status_code == 422, (path, answer.text)
        assert f"query.{field}" in answer.json()["detail"]
    # but of a form in which somebody has filled in something else it is none
    assert "late-1" in await shop.page(f"/ui/jobs?{field}=&q=late")


@pytest.mark.parametrize("path", ["/", "/ui/workers"])
async def test_nobody_is_told_to_start_a_worker_while_kafka_is_silent(
    shop: Offline, path: str
) -> None:
    shop.console.feed.is_connected = False

    said = await shop.page(path)

    assert "Start one" not in said
    assert "not known while Kafka does not answer" in said
    # when it answers, and no worker is heard, then there is none
    shop.console.feed.is_connected = True
    assert "Start one" in await shop.page(path)


async def test_a_job_has_its_page_while_kafka_is_away(shop: Offline) -> None:
    whole = await shop.page("/ui/jobs/default/mail/dead-1")
    assert "Kafka does not answer: this is" not in whole
    shop.console.feed.is_connected = False
    page = await shop.page("/ui/jobs/default/mail/dead-1")
    assert "Kafka does not answer: this is what was last read" in page
    assert "failed</span>" in page


async def test_a_job_has_its_page_when_its_records_do_not_come(
    shop: Offline, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def nobody(*_: object) -> None:
        raise BrokerUnavailable("Kafka did not answer")

    monkeypatch.setattr(shop.console.records, "get", nobody)
    assert "this is what was last read" in await shop.page("/ui/jobs/default/mail/dead-1")
