"""Lists of jobs since and before a time: by how long ago it is, or by the time."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import quote

import pytest
from offline import Offline, offline
from told import Topics

from streams.client_request import now_ms
from streams.jobs.states import State
from streams.wire.times import show_time

HOUR = 60 * 60 * 1000


@pytest.fixture
async def shop(tmp_path: Path) -> AsyncIterator[Offline]:
    """A job that was sent now, one of three hours ago, and a dead one of two days ago."""
    topics, now = Topics(), now_ms()
    topics.sent("new", time=now)
    topics.sent("old", time=now - 3 * HOUR)
    died = now - 48 * HOUR
    topics.entry("dead", State.DEAD, time=died, died=died, failure=("ValueError", "no"))
    async with offline(tmp_path, topics.records) as made:
        yield made


async def ids(shop: Offline, path: str) -> set[str]:
    return set(re.findall(r'id="[jd]-default-mail-(\w+)"', await shop.page(path)))


async def test_jobs_are_listed_by_since_when_they_are_so(shop: Offline) -> None:
    assert await ids(shop, "/ui/jobs") == {"new", "old", "dead"}
    assert await ids(shop, "/ui/jobs?since=1h") == {"new"}
    assert await ids(shop, "/ui/jobs?before=1h") == {"old", "dead"}
    assert await ids(shop, "/ui/jobs?since=6h&before=1h") == {"old"}
    moment = quote(show_time(now_ms() - HOUR))
    assert await ids(shop, f"/ui/jobs?since={moment}") == {"new"}
    assert await ids(shop, "/ui/dead-letters?since=24h") == set()
    assert await ids(shop, "/ui/dead-letters?before=24h") == {"dead"}


async def test_what_is_done_together_is_of_the_time_that_is_listed(shop: Offline) -> None:
    page = await shop.page("/ui/jobs?since=6h&before=1h")
    fields = dict(re.findall(r'type="hidden" name="(since|before)" value="([^"]+)"', page))
    assert fields.keys() == {"since", "before"}  # times, that do not move on
    assert all(value.endswith("Z") for value in fields.values())
    asked = await shop.send("/ui/jobs/cancel/preview", **fields)
    assert re.findall(r"mail (new|old|dead)\b", asked.text) == ["old"]


@pytest.mark.parametrize("path", ["/ui/jobs", "/ui/dead-letters"])
async def test_what_is_no_time_is_told(shop: Offline, path: str) -> None:
    answer = await shop.http.get(f"{path}?since=soon", headers={"accept": "text/html"})
    assert answer.status_code == 422
    assert "ince: write how long ago" in answer.text
