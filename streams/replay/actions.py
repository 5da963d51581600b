"""What is written to have a letter replayed, discarded, or sent elsewhere. Pure."""

from __future__ import annotations

from dataclasses import replace

from streams.replay.letters import Letter
from streams.wire import headers as h
from streams.wire.envelope import Record, decode, encode
from streams.wire.state import Command, encode_command
from streams.wire.topics import TopicNames
from streams.worker.ports import Append


class Replaying:
    """Its worker opens the job's next generation, then removes the letter.

    What could never be decoded has no state: its bytes go back to where they came from.
    """

    def __init__(self, names: TopicNames) -> None:
        self._names = names

    def appends(self, letter: Letter, partitions: int) -> list[list[Append]]:
        """A command, or the bytes and then the tombstone.

        A crash between these leaves the letter, and the bytes there twice: with one id.
        """
        if letter.job is None:
            return [[_bytes_back(letter)], [_tombstone(letter, self._names)]]
        command = Command(
            kind="replay",
            job=letter.job,
            generation=letter.generation,
            payload=letter.edited,
        )
        return [[_command(letter, command, self._names, partitions)]]


class Discarding:
    """The job ends for good, with a reason; its worker removes the letter."""

    def __init__(self, names: TopicNames, reason: str) -> None:
        self._names = names
        self._reason = reason

    def appends(self, letter: Letter, partitions: int) -> list[list[Append]]:
        """A command; of what has no state, or whose queue is not there any more, the tombstone."""
        if letter.job is None or not partitions:
            return [[_tombstone(letter, self._names)]]
        command = Command(
            kind="discard", job=letter.job, generation=letter.generation, reason=self._reason
        )
        return [[_command(letter, command, self._names, partitions)]]


class Retargeting:
    """A new job in another queue, or of another name, with the same id; then the old one ends.

    Its time is that of the last failure: who does it again, or two who do it, enqueue one job.
    """

    def __init__(self, names: TopicNames, queue: str, name: str | None, scope: str | None) -> None:
        self._names = names
        self._queue = queue
        self._name = name  # None: that of the letter's job
        self._scope = scope  # of its keys; None: as they are

    def appends(self, letter: Letter, partitions: int) -> list[list[Append]]:
        """The job, then what ends the old one."""
        envelope = decode(
            Record(
                topic=letter.origin[0],
                partition=letter.origin[1],
                offset=letter.origin[2],
                timestamp=letter.last_failure,
                key=letter.record_key,
                value=letter.payload,
                headers=letter.headers,
            )
        )
        name = self._name or envelope.name
        again = replace(
            envelope,
            name=name,
            queue=self._queue,
            time=letter.last_failure,
            key=self._key(envelope.key),
            payload=letter.payload or b"" if letter.edited is None else letter.edited,
            not_before=None,
            expires=None,
            child_of=None,  # that it is dead is what its callback was told
            awaits=None,
        )
        key, value, headers = encode(again)
        sent = Append(self._names.queue(self._queue), None, key, value, headers)
        reason = f"sent to queue {self._queue} as {name}"
        return [[sent], *Discarding(self._names, reason).appends(letter, partitions)]

    def _key(self, key: str | None) -> str | None:
        if key is None or self._scope is None:
            return key
        return f"{self._scope}:{key.partition(':')[2]}"


def _command(letter: Letter, command: Command, names: TopicNames, partitions: int) -> Append:
    key, value = encode_command(command)
    partition = letter.partition(names, partitions) if partitions else None
    return Append(names.commands(letter.queue), partition, key, value)


def _bytes_back(letter: Letter) -> Append:
    topic, partition, offset = letter.origin
    headers = list(letter.headers)
    if h.CE_ID not in {name.lower() for name, _ in headers}:
        # What an event without an id is known by is the place at which it was first read.
        headers.append((h.CE_ID, f"{topic}/{partition}/{offset}".encode()))
    return Append(topic, partition, letter.record_key, letter.payload, headers)


def _tombstone(letter: Letter, names: TopicNames) -> Append:
    return Append(names.dead, letter.place[0], letter.key, None)
