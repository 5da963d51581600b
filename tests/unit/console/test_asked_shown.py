"""What was asked of a job stands beside its state, in lists and on its page."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from offline import Offline, offline
from told import Topics

from streams.jobs.states import State


@pytest.fixture
async def shop(tmp_path: Path) -> AsyncIterator[Offline]:
    """Two jobs that wait, and a dead one; one is to be cancelled, the dead one to be discarded."""
    topics = Topics()
    topics.sent("asked")
    topics.sent("left")
    topics.entry("dead", State.DEAD, failure=("ValueError", "no"), attempts=3)
    topics.asked("cancel", "asked")
    topics.asked("discard", "dead")
    async with offline(tmp_path, topics.records) as made:
        yield made


async def test_it_stands_in_lists(shop: Offline) -> None:
    assert (await shop.page("/ui/jobs")).count("cancel asked") == 1
    dead = await shop.page("/ui/dead-letters")
    assert dead.count("discard asked") == 1
    assert "cancel asked" not in dead


async def test_it_stands_on_its_own_page(shop: Offline) -> None:
    assert "Cancel was asked" in await shop.page("/ui/jobs/default/mail/asked")
    assert "was asked" not in await shop.page("/ui/jobs/default/mail/left")


async def test_it_is_in_answers(shop: Offline) -> None:
    jobs = {job["id"]: job for job in (await shop.http.get("/jobs")).json()["data"]}
    assert [each["what"] for each in jobs["asked"]["asked"]] == ["cancel"]
    assert "asked" not in jobs["left"]
    (dead,) = (await shop.http.get("/dead-letters")).json()["data"]
    assert [each["what"] for each in dead["asked"]] == ["discard"]
