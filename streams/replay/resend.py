"""Replaying dead letters: ask the job's worker, and watch until it has done so."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Final

from streams.durations import Duration, to_ms
from streams.errors import StreamsError, UndecodableRecord
from streams.replay.letters import Letter
from streams.replay.reader import open_reader, partition_counts
from streams.wire.producer import close_producer, open_producer, send
from streams.wire.state import Command, decode_ledger, decode_open, encode_command

if TYPE_CHECKING:
    from aiokafka import AIOKafkaProducer

    from streams.wire.envelope import Record
    from streams.wire.topics import TopicNames

_AT_ONCE: Final = 200


async def replay_letters(
    bootstrap: str,
    names: TopicNames,
    letters: Sequence[Letter],
    *,
    timeout: Duration = "30s",
    on_replayed: Callable[[Letter], None] = lambda letter: None,
) -> list[Letter]:
    """Replay letters; those of which nothing was heard within `timeout`, which go on if they can.

    A job is replayed by its worker: it opens the next generation, then removes the letter. What
    could never be decoded has no state: its bytes go back to where they came from.

    Raises:
        BrokerUnavailable: Kafka did not answer.
        StreamsError: the queue of a letter does not exist.
    """
    if not letters:
        return []
    counts = await partition_counts(bootstrap)
    missing = sorted({t for letter in letters for t in _targets(letter, names)} - counts.keys())
    if missing:
        raise StreamsError(
            f"nowhere to replay to, as there is no topic {', '.join(missing)}: "
            "create it with `streams topics apply`, or correct STREAMS_PREFIX"
        )
    watched = {topic for letter in letters for topic in _watched(letter, names)}
    answers = Answers(names, letters)
    async with open_reader(bootstrap, {topic: counts[topic] for topic in watched}) as reader:
        await reader.seek_to_end()
        producer = await open_producer(bootstrap, "streams-replay")
        try:
            for start in range(0, len(letters), _AT_ONCE):
                await asyncio.gather(
                    *(
                        _send(producer, names, letter, counts)
                        for letter in letters[start : start + _AT_ONCE]
                    )
                )
        finally:
            await close_producer(producer)
        loop = asyncio.get_running_loop()
        until = loop.time() + to_ms(timeout) / 1000
        while answers.awaited and loop.time() < until:
            for letter in answers.take(await reader.more()):
                on_replayed(letter)
    return answers.awaited


class Answers:
    """Which letters were answered, by their tombstone or by a later generation of their job."""

    def __init__(self, names: TopicNames, letters: Iterable[Letter]) -> None:
        self._dead = names.dead
        self._retries = set()
        self._by_letter: dict[bytes, Letter] = {}
        self._by_job: dict[bytes, list[Letter]] = {}
        for letter in letters:
            self._by_letter[letter.key] = letter
            self._retries.add(names.retry(letter.queue))
            if letter.job is not None:
                self._by_job.setdefault(letter.job.encode(), []).append(letter)

    @property
    def awaited(self) -> list[Letter]:
        """Those without an answer."""
        return list(self._by_letter.values())

    def take(self, records: Iterable[Record]) -> list[Letter]:
        """The letters that these records answer."""
        answered = [letter for record in records for letter in self._answered(record)]
        return [letter for letter in answered if self._by_letter.pop(letter.key, None) is not None]

    def _answered(self, record: Record) -> list[Letter]:
        key = record.key or b""
        if record.topic == self._dead:
            letter = self._by_letter.get(key)
            return [] if letter is None or record.value is not None else [letter]
        letters = self._by_job.get(key)
        if not letters or record.value is None:
            return []
        read = decode_open if record.topic in self._retries else decode_ledger
        try:
            generation = read(key, record.value).generation
        except UndecodableRecord:
            return []
        return [letter for letter in letters if letter.generation < generation]


def _targets(letter: Letter, names: TopicNames) -> list[str]:
    return [letter.origin[0]] if letter.job is None else [names.commands(letter.queue)]


def _watched(letter: Letter, names: TopicNames) -> list[str]:
    if letter.job is None:
        return [names.dead]
    return [names.dead, names.retry(letter.queue), names.ledger(letter.queue)]


async def _send(
    producer: AIOKafkaProducer, names: TopicNames, letter: Letter, counts: dict[str, int]
) -> None:
    if letter.job is not None:
        topic = names.commands(letter.queue)
        key, value = encode_command(
            Command(kind="replay", job=letter.job, generation=letter.generation)
        )
        partition = letter.partition(names, counts[topic])
        await send(producer, topic, key=key, value=value, partition=partition, job_id=letter.job.id)
        return
    topic, partition, _ = letter.origin
    await send(
        producer,
        topic,
        key=letter.record_key,
        value=letter.payload,
        headers=letter.headers,
        partition=partition,
    )
    # Only now: a crash in between leaves the letter, and the bytes on the topic twice.
    await send(producer, names.dead, key=letter.key, value=None)
