"""The events of a topic between two times, one after the other, however many there are."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final

from streams.errors import UndecodableRecord
from streams.wire.by_time import by_time
from streams.wire.envelope import Envelope, Record, decode_event
from streams.wire.reader import Stretch, TopicReader, open_reader, partition_count

_SKEW_MS: Final = 60_000  # records come about in the order of their times, but not quite


@dataclass(frozen=True, slots=True, kw_only=True)
class OldEvent:
    """An event, and where it is; `event` is None if nobody can read it."""

    record: Record
    event: Envelope | None

    @property
    def place(self) -> str:
        """Topic, partition and offset."""
        return f"{self.record.topic}/{self.record.partition}/{self.record.offset}"


class History:
    """What a topic has of a time, the oldest first; those of one partition in their order.

    Each time in the same order, so that the first so many are the same ones.
    """

    def __init__(
        self,
        reader: TopicReader,
        event_type: str,
        stretches: list[Stretch],
        since: int | None,
        until: int | None,
    ) -> None:
        self._reader = reader
        self._event_type = event_type
        self._stretches = stretches
        self._since = since
        self._until = until
        self.looked_at = 0  # of `total`
        self.total = sum(each.end - each.start for each in stretches)
        self.is_cut = any(0 < each.begin == each.start for each in stretches)
        """Whether the topic may have had older ones, which it has not kept."""

    async def events(self) -> AsyncIterator[OldEvent]:
        """Each event of that time.

        Raises:
            BrokerUnavailable: the broker stopped answering.
        """
        async for record in by_time(self._reader, self._stretches):
            self.looked_at += 1
            if self._since is not None and record.timestamp < self._since:
                continue
            if self._until is not None and record.timestamp >= self._until:
                continue
            yield OldEvent(record=record, event=self._read(record))

    def _read(self, record: Record) -> Envelope | None:
        try:
            return decode_event(record, self._event_type)
        except UndecodableRecord:
            return None


@asynccontextmanager
async def open_history(
    bootstrap: str,
    topic: str,
    event_type: str,
    *,
    since: int | None = None,
    until: int | None = None,
    timeout_ms: int = 10_000,
) -> AsyncIterator[History]:
    """The events with times from `since` on and before `until` (ms since the epoch).

    Raises:
        BrokerUnavailable: no broker answered within `timeout_ms`.
        TopicMismatch: there is no such topic.
    """
    count = await partition_count(bootstrap, topic, timeout_ms=timeout_ms)
    async with open_reader(bootstrap, {topic: count}, timeout_ms=timeout_ms) as reader:
        stretches = await reader.seek_between(since, None if until is None else until + _SKEW_MS)
        yield History(reader, event_type, stretches, since, until)
