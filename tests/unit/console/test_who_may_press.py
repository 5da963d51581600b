"""Pages offer people what their scopes allow, read as HTML."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from html.parser import HTMLParser
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI, Request

from streams import Cron, JobPayload, Tick, job
from streams.console.access.tokens import new_token
from streams.console.app import make_app
from streams.console.console import Console
from streams.console.pages.render import page
from streams.jobs.identity import JobKey
from streams.jobs.outcome import Failure
from streams.jobs.registry import Registry
from streams.jobs.states import State
from streams.projection.batch import DEAD, LEDGER, QUEUE, RETRY, Batch, Reader
from streams.projection.feed import Feed
from streams.projection.file import now_ms, open_store
from streams.projection.listing import Listing
from streams.settings import Settings
from streams.wire.envelope import Record
from streams.wire.headers import EPOCH
from streams.wire.state import OpenEntry, encode_open
from streams.wire.topics import TopicNames

QUEUES = ("default",)
READER, READERS_LINE = new_token("reader", ["read"])
OPERATOR, OPERATORS_LINE = new_token("ops", ["read", "act"])
ACTS = re.compile(r"^/(?!sign-out|ui/search)")


class Mail(JobPayload, name="mail"):
    to: str


@job
async def mail(payload: Mail) -> None: ...


@job(cron=Cron("0 7 * * *"))
async def report(tick: Tick) -> None: ...


class Buttons(HTMLParser):
    """What can be pressed on a page that changes something."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        told = dict(attrs)
        action = told.get("action") or ""
        if tag == "form" and told.get("method") == "post" and ACTS.search(action):
            self.found.append(action)
        if tag == "form" and action.endswith(("/discard", "/cancel")) and action not in self.found:
            self.found.append(action)  # it asks whether one is sure
        if tag == "a" and (told.get("href") or "").partition("?")[0].endswith("/edit"):
            self.found.append(str(told["href"]))


def buttons(text: str) -> list[str]:
    parser = Buttons()
    parser.feed(text)
    return parser.found


def dead_job(names: TopicNames) -> Record:
    key = JobKey(name="mail", ordering_key=None, id="1")
    entry = OpenEntry(
        job=key,
        state=State.DEAD,
        time=now_ms(),
        generation=0,
        run=0,
        attempts=1,
        arrival=0,
        due=None,
        blocks=False,
        record_key=None,
        headers=(),
        payload=b"{}",
        failure=Failure(type="ValueError", message="no", trace=""),
        died=now_ms(),
    )
    headers = ((EPOCH, b"1"),)
    topic = names.retry("default")
    return Record(topic, 0, 0, now_ms(), key.encode(), encode_open(entry)[1], headers)


@pytest.fixture
async def app(tmp_path: Path) -> AsyncIterator[FastAPI]:
    """One whose projection has a dead job; no Kafka is asked for what these pages show."""
    settings = Settings(
        data_dir=str(tmp_path),
        queues=QUEUES,
        weights=(),
        console_tokens=f"{READERS_LINE.line()},{OPERATORS_LINE.line()}",
    )
    definitions = [each.__job_definition__ for each in (mail, report)]
    console = Console(settings, Registry.build(definitions, QUEUES))
    names, path = console.names, tmp_path / "projection.sqlite"
    roles = {
        names.dead: ("", DEAD),
        names.queue("default"): ("default", QUEUE),
        names.retry("default"): ("default", RETRY),
        names.ledger("default"): ("default", LEDGER),
    }
    store, batch = open_store(path, "cluster t.", QUEUES, now_ms()), Batch()
    Reader(roles, store.places()).read([dead_job(names)], batch)
    store.apply(batch)
    store.close()
    console.feed = Feed(settings.bootstrap_servers, names, QUEUES, path)
    console.feed.opened.set()
    yield make_app(console)
    console._questions.close()


async def seen(app: FastAPI, path: str, token: str) -> httpx.Response:
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
        return await client.get(path, headers={"Authorization": f"Bearer {token}"})


@pytest.mark.parametrize(
    "path",
    [
        "/ui/jobs",
        "/ui/dead-letters",
        "/ui/dead-letters?error=ValueError",
        "/ui/queues",
        "/ui/queues?part=true",
        "/ui/schedules",
    ],
)
async def test_who_may_only_look_is_offered_nothing_else(app: FastAPI, path: str) -> None:
    whole = await seen(app, path, OPERATOR)
    assert (whole.status_code, bool(buttons(whole.text))) == (200, True), whole.text
    told = await seen(app, path, READER)
    assert told.status_code == 200
    assert buttons(told.text) == []
    # what may be looked at is there as it is for the others
    assert "ValueError" in told.text or "ValueError" not in whole.text


@pytest.mark.parametrize("template", ["job_actions.html", "action_part.html"])
@pytest.mark.parametrize("scopes", [{"read"}, {"read", "act"}])
async def test_a_job_and_an_action_offer_what_may_be_done(
    app: FastAPI, template: str, scopes: set[str]
) -> None:
    row = (await app.state.console.ask(lambda db: Listing(db).with_id("1")))[0]
    shown = page(
        Request(
            {
                "type": "http",
                "app": app,
                "path": "/ui/jobs",
                "headers": [],
                "query_string": b"",
                "state": {"scopes": frozenset(scopes)},
            }
        ),
        template,
        row=row,
        address="/ui/jobs/default/mail/1",
        is_dead=True,
        may_cancel=True,
        may_be_timed=True,
        is_here=True,
        action={
            "id": "a",
            "what": "dlq replay",
            "state": "running",
            "counts": {},
            "by": "ops",
            "on": "",
            "reason": "",
            "began": "",
            "ended": "",
            "failed": "",
        },
    )
    assert bool(buttons(bytes(shown.body).decode())) == ("act" in scopes)


async def test_who_may_only_look_is_given_no_payload_to_edit(app: FastAPI) -> None:
    said = await seen(app, "/ui/jobs/default/mail/1/edit", READER)
    assert said.status_code == 403
    assert "the scope act" in said.json()["detail"]


@pytest.mark.parametrize("verb", ["cancel", "discard"])
async def test_who_may_only_look_is_not_asked_whether_he_is_sure(app: FastAPI, verb: str) -> None:
    path = f"/ui/jobs/default/mail/1/{verb}"
    assert (await seen(app, path, READER)).status_code == 403
    assert (await seen(app, path, OPERATOR)).status_code == 200
