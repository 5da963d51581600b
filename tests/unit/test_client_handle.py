"""A handle's cancel says whether there was anything to cancel."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from streams.client_handle import Handle
from streams.client_story import Story
from streams.jobs.identity import JobKey
from streams.jobs.states import OVER, State
from streams.wire.state import LedgerRecord, OpenEntry, decode_command

JOB = JobKey(name="report", ordering_key=None, id="1")


class StubLink:
    """State as it is told, and the commands that were sent."""

    def __init__(self, story: Story) -> None:
        self.sent: list[tuple[bytes, bytes]] = []
        self._story = story

    async def story(self, handle: Handle, *, follow: bool) -> AsyncIterator[Story]:
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
