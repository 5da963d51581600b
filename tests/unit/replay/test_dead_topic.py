"""The letters that stand, read partition by partition."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any, cast

from streams.jobs.identity import JobKey
from streams.jobs.outcome import Failure
from streams.jobs.states import State
from streams.replay.dead_topic import DeadTopic
from streams.wire.envelope import Record
from streams.wire.letters import letter_of
from streams.wire.reader import TopicReader
from streams.wire.state import OpenEntry

ENTRY = OpenEntry(
    job=JobKey(name="mail", ordering_key="mail:7", id="a"),
    state=State.DEAD,
    time=1_000,
    generation=0,
    run=0,
    attempts=3,
    arrival=5,
    due=None,
    blocks=False,
    record_key=b"mail:7",
    headers=(),
    payload=b"{}",
    failure=Failure(type="E", message="no", trace=""),
    origin=("jobs.default", 0, 0),
)


class Topic:
    """A dead-letter topic in memory, read in batches of two."""

    def __init__(self, partitions: int = 1) -> None:
        self.records: list[list[Record]] = [[] for _ in range(partitions)]
        self.starts: list[int] = []

    def write(
        self, id: str, *, at: int = 0, key: str | None = "mail:7", generation: int = 0, to: int = 0
    ) -> bytes:
        """A letter of a job that arrived at an offset."""
        entry = replace(
            ENTRY,
            job=JobKey(name="mail", ordering_key=key, id=id),
            generation=generation,
            record_key=(key or id).encode(),
            origin=("jobs.default", to, at),
        )
        made = letter_of(entry, "default")
        self.append(to, *made)
        return made[0]

    def append(self, to: int, key: bytes, value: bytes | None, headers: Any = ()) -> None:
        place = self.records[to]
        place.append(Record("jobs.dead", to, len(place), 0, key, value, tuple(headers)))

    async def partition_to_end(
        self, topic: str, partition: int, start: int = 0
    ) -> AsyncIterator[list[Record]]:
        self.starts.append(start)
        for at in range(start, len(self.records[partition]), 2):
            yield self.records[partition][at : at + 2]

    async def standing(self) -> list[str]:
        reader = cast(TopicReader, self)
        letters = DeadTopic(reader, "jobs.dead", len(self.records)).letters()
        return [f"{letter.id}#{letter.generation}" async for letter in letters]


async def test_what_a_tombstone_resolved_stands_no_more_and_a_copy_counts_once() -> None:
    topic = Topic()
    resolved = topic.write("a")
    topic.write("b", key=None)
    topic.write("b", key=None)  # a crash had it sent again
    topic.append(0, resolved, None)
    topic.append(0, b"junk", b"junk")
    topic.write("a", generation=1)
    assert await topic.standing() == ["b#0", "a#1"]
    assert topic.starts == [0, 2]  # and what is before the first one is read once


async def test_a_partition_without_letters_is_read_once() -> None:
    topic = Topic(partitions=2)
    topic.append(0, topic.write("a"), None)
    topic.write("b", to=1)
    assert await topic.standing() == ["b#0"]
    assert topic.starts == [0, 0, 0]


async def test_letters_of_a_key_come_in_the_order_of_their_jobs() -> None:
    topic = Topic()
    topic.write("second", at=2, key="mail:7")
    topic.write("other", at=5, key="mail:8")
    topic.write("third", at=3, key="mail:7")
    topic.write("first", at=1, key="mail:7", generation=1)  # replayed, and dead again
    topic.write("later", at=9, key="mail:8")
    found = await topic.standing()
    assert [each for each in found if each[0] in "fst"] == ["first#1", "second#0", "third#0"]
    assert found.index("other#0") < found.index("later#0")
