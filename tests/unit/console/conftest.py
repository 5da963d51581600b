"""A console without Kafka that has some of everything."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from offline import NAMES, NOW, Offline, offline

from streams.jobs.identity import JobKey
from streams.jobs.outcome import Failure
from streams.jobs.states import State
from streams.wire.envelope import Record
from streams.wire.letters import undecodable_letter
from streams.wire.state import OpenEntry, encode_open


def entry(offset: int, id: str, state: State, *, key: str | None = None) -> Record:
    """The open table has a job so."""
    job = JobKey(name="mail", ordering_key=key, id=id)
    failure = None
    if state is State.DEAD:
        failure = Failure(type="shop.Refused", message=f"no such door: {id}", trace="")
    encoded, value = encode_open(
        OpenEntry(
            job=job,
            state=state,
            time=NOW,
            generation=0,
            run=0,
            attempts=1,
            arrival=0,
            due=None,
            blocks=False,
            record_key=None,
            headers=(),
            payload=b"{}",
            failure=failure,
            died=NOW if failure else None,
        )
    )
    retry = NAMES.retry("default")
    return Record(retry, 0, offset, NOW, encoded, value, (("epoch", b"1"),))


def unread(offset: int, queue: str = "default") -> Record:
    """Something came that is no job."""
    strange = Record(NAMES.queue(queue), 0, offset, NOW, b"k", b"{}", ())
    key, value, headers = undecodable_letter(strange, queue, f"no id in {offset}", NOW + offset)
    return Record(NAMES.dead, 0, offset, NOW, key, value, tuple(headers))


@pytest.fixture
async def shop(tmp_path: Path) -> AsyncIterator[Offline]:
    """Seven dead jobs, three that are delayed, and five records that nobody could read."""
    records = [entry(at, f"dead-{at}", State.DEAD) for at in range(7)]
    records += [entry(10 + at, f"late-{at}", State.RETRYING) for at in range(3)]
    records += [unread(at, "default" if at < 3 else "bulk") for at in range(5)]
    async with offline(tmp_path, records) as made:
        yield made
