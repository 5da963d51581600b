"""Who is at work: what each worker says of itself every two seconds, and what others make of it."""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Final

import orjson

from streams.errors import AppendFailed
from streams.worker.ports import Append, Clock, Log

logger = logging.getLogger(__name__)

EVERY_MS: Final = 2_000
GONE_AFTER_MS: Final = 10_000  # without a word
RUNNING_TOLD: Final = 100  # jobs; the others are counted
HANDLERS_TOLD: Final = 500  # names; who has more says none
LIMITS_TOLD: Final = 100  # for which jobs wait in memory; in the open table each says so itself


class Presence:
    """Announces one worker until it is stopped."""

    def __init__(
        self, worker: str, topic: str, log: Log, clock: Clock, describe: Callable[[], Any]
    ) -> None:
        self._key = worker.encode()
        self._topic = topic
        self._log = log
        self._clock = clock
        self._describe = describe

    async def run(self) -> None:
        """Announce until cancelled; what can't be written now is written next time."""
        while True:
            await self._write(orjson.dumps(self._describe()))
            over = asyncio.Event()
            alarm = self._clock.call_at(self._clock.now() + EVERY_MS, over.set)
            try:
                await over.wait()
            finally:
                alarm.cancel()

    async def withdraw(self) -> None:
        """Say that the worker is gone."""
        await self._write(None)

    async def _write(self, value: bytes | None) -> None:
        try:
            await self._log.append([Append(self._topic, 0, self._key, value)])
        except (AppendFailed, OSError) as error:
            logger.debug("presence could not be told: %s", error)


@dataclass(frozen=True, slots=True, kw_only=True)
class Colleague:
    """One worker, as it described itself last."""

    worker: str
    group: str
    seen: int  # by the broker's clock, milliseconds since the epoch
    partitions: frozenset[tuple[str, int]]  # (queue, partition)


class Roster:
    """The workers of one group that are alive, from the records of the workers' topic."""

    def __init__(self, group: str) -> None:
        self._group = group
        self._known: dict[str, Colleague] = {}
        self._latest = 0

    def apply(self, key: bytes | None, value: bytes | None, timestamp: int) -> None:
        """One record of the topic."""
        worker = (key or b"").decode(errors="replace")
        self._latest = max(self._latest, timestamp)
        if value is None:
            self._known.pop(worker, None)
            return
        try:
            m = orjson.loads(value)
            self._known[worker] = Colleague(
                worker=worker,
                group=str(m["group"]),
                seen=timestamp,
                partitions=frozenset(
                    (queue, int(number))
                    for queue, numbers in m["partitions"].items()
                    for number in numbers
                ),
            )
        except (ValueError, KeyError, TypeError, AttributeError):
            logger.warning("what %s says of itself can't be read", worker)

    def alive(self) -> list[Colleague]:
        """Workers of the group that were heard of lately."""
        since = self._latest - GONE_AFTER_MS
        return [c for c in self._known.values() if c.group == self._group and c.seen >= since]

    def standby_for(self, worker: str, places: Iterable[tuple[str, int]]) -> set[tuple[str, int]]:
        """The partitions that this worker keeps a copy of: one worker each, not its owner.

        Rendezvous hashing: a worker that comes or goes moves only its own.
        """
        alive = self.alive()
        owners = {place: c.worker for c in alive for place in c.partitions}
        mine = set()
        for place in places:
            owner = owners.get(place)
            others = [c.worker for c in alive if c.worker != owner]
            if owner is not None and others and worker == _heaviest(others, place):
                mine.add(place)
        return mine


def _heaviest(workers: Iterable[str], place: tuple[str, int]) -> str:
    return max(workers, key=lambda worker: _weight(worker, place))


def _weight(worker: str, place: tuple[str, int]) -> bytes:
    return hashlib.blake2b(f"{worker}/{place[0]}/{place[1]}".encode(), digest_size=8).digest()
