"""A handle says whether there was anything to cancel, or to give another time."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from streams.client_handle import Handle
from streams.client_story import Story
from streams.errors import PayloadInvalid
from streams.jobs.identity import JobKey
from streams.jobs.states import OVER, State
from streams.wire.commands import decode_command
from streams.wire.state import LedgerRecord, OpenEntry

JOB = JobKey(name="report", ordering_key=None, id="1")


class StubLink:
    """State as it is told, and the commands that were sent."""

    def __init__(self, story: Story) -> None:
        self.sent: list[tuple[bytes, bytes]] = []
        self._story = story

    def now_ms(self) -> int:
        return 1_700_000_000_000

    async def story(self, handle: Handle, *, wait_ms: int | None) -> AsyncIterator[Story]:
        yield self._story

    async def command(self, handle: Handle, key: bytes, value: bytes) -> None:
        self.sent.append((key, value))


def handle_of(link: StubLink) -> Handle:
    return Handle(
        id="1",
        name="report",
        queue="bulk",
        key=None,
        time=1,
        partition=0,
        id_given=False,
        link=link,
    )


def over(state: State) -> Story:
    record = LedgerRecord(job=JOB, state=state, time=1, generation=0, run=0, attempts=1, ended=2)
    return Story(ledger=record)


def is_open(state: State) -> Story:
    entry = OpenEntry(
        job=JOB,
        state=state,
        time=1,
        generation=0,
        run=0,
        attempts=0,
        arrival=0,
        due=None,
        blocks=False,
        record_key=None,
        headers=(),
        payload=b"{}",
    )
    return Story(entry=entry)


@pytest.mark.parametrize("state", sorted(OVER))
async def test_what_is_over_is_not_cancelled(state: State) -> None:
    link = StubLink(over(state))
    assert await handle_of(link).cancel() is False
    assert link.sent == []


async def test_what_is_dead_is_not_cancelled() -> None:
    link = StubLink(is_open(State.DEAD))
    assert await handle_of(link).cancel() is False
    assert link.sent == []


@pytest.mark.parametrize("story", [Story(), is_open(State.SCHEDULED), is_open(State.RUNNING)])
async def test_what_is_not_over_is(story: Story) -> None:
    link = StubLink(story)
    assert await handle_of(link).cancel("enough") is True
    ((key, value),) = link.sent
    command = decode_command(key, value)
    assert (command.kind, command.job, command.reason) == ("cancel", JOB, "enough")


@pytest.mark.parametrize("state", [*sorted(OVER), State.DEAD, State.RUNNING])
async def test_what_waits_for_no_time_gets_none(state: State) -> None:
    link = StubLink(over(state) if state in OVER else is_open(state))
    assert await handle_of(link).reschedule(delay="1h") is False
    assert link.sent == []


@pytest.mark.parametrize(
    "story",
    [Story(), *(is_open(state) for state in (State.SCHEDULED, State.RETRYING, State.PARKED))],
)
async def test_what_may_wait_for_one_does(story: Story) -> None:
    link = StubLink(story)
    assert await handle_of(link).reschedule(run_at=datetime(2100, 1, 1, tzinfo=UTC)) is True
    ((key, value),) = link.sent
    command = decode_command(key, value)
    assert (command.kind, command.job, command.due) == ("reschedule", JOB, 4_102_444_800_000)


@pytest.mark.parametrize(
    ("when", "why"),
    [
        ({}, "say when"),
        ({"delay": "1h", "run_at": datetime(2100, 1, 1, tzinfo=UTC)}, "not both"),
        ({"run_at": datetime(2100, 1, 1)}, "no time zone"),
        ({"run_at": "2100-01-01T00:00Z"}, "no datetime"),
        ({"delay": "later"}, "^delay: 'later' is no duration"),
        ({"delay": "-1h"}, "^delay: -1h is negative"),
        ({"delay": timedelta(seconds=-1)}, "^delay: -1s is negative"),
    ],
)
async def test_what_is_no_time_is_refused(when: dict[str, Any], why: str) -> None:
    link = StubLink(is_open(State.SCHEDULED))
    with pytest.raises(PayloadInvalid, match=why):
        await handle_of(link).reschedule(**when)
    assert link.sent == []


async def test_a_status_tells_when_it_goes_on() -> None:
    entry = is_open(State.SCHEDULED).entry
    assert entry is not None
    entry = replace(entry, due=1_700_000_000_500)
    status = await handle_of(StubLink(Story(entry=entry))).status()
    assert status.due == datetime(2023, 11, 14, 22, 13, 20, 500_000, UTC)
    dead = replace(entry, state=State.DEAD)
    assert (await handle_of(StubLink(Story(entry=dead))).status()).due is None
