"""Letters that were exported, brought back: their workers make anew those that are not known."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from aiokafka import AIOKafkaProducer

from streams.errors import UndecodableRecord
from streams.replay.letter_lines import dead_entry, record_of
from streams.replay.letters import Letter
from streams.wire.commands import Command, encode_command
from streams.wire.letters import undecodable_letter
from streams.wire.partition import partition_of
from streams.wire.producer import close_producer, open_producer, send
from streams.wire.reader import TopicReader, missing, open_reader, partition_counts
from streams.wire.topics import TopicNames
from streams.worker.tables import COMMANDS_READ

_TOGETHER: Final = 200
_NEVER: Final = 1 << 63


@dataclass(slots=True)
class Imported:
    """What became of them."""

    lines: int = 0
    imported: int = 0
    known: int = 0  # they stand, or their job is open or has completed since
    silent: int = 0  # no worker has said anything yet


Place = tuple[str, int]  # the retry topic of a queue, and a partition


class _Awaited:
    """Which commands are to be obeyed, and which letters come of it."""

    def __init__(self, names: TopicNames) -> None:
        self._names = names
        self.ends: dict[Place, int] = {}  # behind the last command of each
        self.jobs: dict[Place, set[int]] = {}  # hashes of those that were sent
        self.done: set[Place] = set()
        self.back = 0

    def sent(self, place: Place, offset: int, job: bytes) -> None:
        """A command was written."""
        self.ends[place] = max(self.ends.get(place, 0), offset + 1)
        self.jobs.setdefault(place, set()).add(hash(job))

    def take(self, topic: str, partition: int, key: bytes | None, value: bytes | None) -> None:
        """A record that was written since."""
        place = topic, partition
        if topic == self._names.dead:
            if value is None or key is None:
                return
            job = hash(key.rpartition(b"#")[0])
            for jobs in self.jobs.values():
                if job in jobs:
                    jobs.discard(job)
                    self.back += 1
                    return
        elif key == COMMANDS_READ and int(value or 0) >= self.ends.get(place, _NEVER):
            self.done.add(place)

    @property
    def is_over(self) -> bool:
        """Whether all were obeyed."""
        return self.done >= self.ends.keys()


async def import_letters(
    bootstrap: str, names: TopicNames, letters: Iterable[Letter], *, timeout_ms: int = 30_000
) -> Imported:
    """Have letters made anew, and wait until their workers have said so.

    A letter that stands, whose job is open, or which has completed since, is left as it is.

    Raises:
        BrokerUnavailable: Kafka did not answer.
        TopicMismatch: a letter's queue is not there; what came before it is imported.
    """
    counts = await partition_counts(bootstrap)
    found, awaited = Imported(), _Awaited(names)
    watched = {topic: n for topic, n in counts.items() if _is_watched(topic, names)}
    async with open_reader(bootstrap, watched) as reader:
        await reader.seek_to_end()
        producer = await open_producer(bootstrap, "streams-import")
        try:
            together: list[Letter] = []
            for letter in letters:
                found.lines += 1
                together.append(letter)
                if len(together) == _TOGETHER:
                    await _send(producer, names, counts, together, awaited, found)
                    together = []
            await _send(producer, names, counts, together, awaited, found)
        finally:
            await close_producer(producer)
        await _wait(reader, awaited, timeout_ms)
    found.imported += awaited.back
    left = {place: len(jobs) for place, jobs in awaited.jobs.items()}
    found.silent = sum(n for place, n in left.items() if place not in awaited.done)
    found.known = found.lines - found.imported - found.silent
    return found


def _is_watched(topic: str, names: TopicNames) -> bool:
    ours = names.queue("")
    return topic == names.dead or (topic.startswith(ours) and topic.endswith(".retry"))


async def _wait(reader: TopicReader, awaited: _Awaited, timeout_ms: int) -> None:
    loop = asyncio.get_running_loop()
    heard, done = loop.time(), len(awaited.done)
    while not awaited.is_over and loop.time() - heard < timeout_ms / 1000:
        for record in await reader.more():
            awaited.take(record.topic, record.partition, record.key, record.value)
        if len(awaited.done) > done:
            heard, done = loop.time(), len(awaited.done)
    # A letter is written before it is said that its command was obeyed, in another topic.
    async for record in reader.to_end():
        awaited.take(record.topic, record.partition, record.key, record.value)


async def _send(
    producer: AIOKafkaProducer,
    names: TopicNames,
    counts: dict[str, int],
    letters: list[Letter],
    awaited: _Awaited,
    found: Imported,
) -> None:
    await asyncio.gather(
        *(_send_one(producer, names, counts, each, awaited, found) for each in letters)
    )


async def _send_one(
    producer: AIOKafkaProducer,
    names: TopicNames,
    counts: dict[str, int],
    letter: Letter,
    awaited: _Awaited,
    found: Imported,
) -> None:
    if letter.job is None:
        await _write_letter(producer, names, counts, letter)
        found.imported += 1
        return
    topic = names.commands(letter.queue)
    if topic not in counts:
        raise missing(topic)
    partition = letter.partition(names, counts[topic])
    entry = dead_entry(letter)
    key, value = encode_command(Command(kind="restore", job=letter.job, entry=entry))
    offset = await send(
        producer, topic, key=key, value=value, partition=partition, job_id=letter.job.id
    )
    awaited.sent((names.retry(letter.queue), partition), offset, letter.job.encode())


async def _write_letter(
    producer: AIOKafkaProducer, names: TopicNames, counts: dict[str, int], letter: Letter
) -> None:
    """What could not be decoded has no state: its letter is all there is."""
    key, value, headers = undecodable_letter(
        record_of(letter), letter.queue, letter.message, letter.last_failure, letter.worker
    )
    partition = partition_of(key, counts[names.dead])
    await send(producer, names.dead, key=key, value=value, headers=headers, partition=partition)


def read_lines(lines: Iterable[bytes]) -> Iterable[Letter]:
    """The letters of a file, line by line; empty lines are passed over.

    Raises:
        UndecodableRecord: a line is none; the message has its number.
    """
    from streams.replay.letter_lines import letter_of_line

    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            letter = letter_of_line(line)
            if letter.job is not None:
                dead_entry(letter)
        except UndecodableRecord as error:
            raise UndecodableRecord(f"line {number}: {error}") from None
        yield letter
