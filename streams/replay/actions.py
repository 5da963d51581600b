"""What is written to have a letter replayed, discarded, or sent elsewhere. Pure."""

from __future__ import annotations

from streams.replay.letters import Letter
from streams.wire import headers as h
from streams.wire.commands import Command, encode_command
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


class Moving:
    """Its worker ends the job, and enqueues it elsewhere with the same id.

    Where that is says the letter. Who does it again, or two who do it, enqueue one job.
    """

    def __init__(self, names: TopicNames, asked_at: int) -> None:
        self._names = names
        self._asked_at = asked_at  # ms since the epoch

    def appends(self, letter: Letter, partitions: int) -> list[list[Append]]:
        """A command."""
        assert letter.job is not None
        assert letter.moves is not None
        command = Command(
            kind="move",
            job=letter.job,
            generation=letter.generation,
            payload=letter.edited,
            queue=letter.moves.queue,
            name=letter.moves.name,
            key=letter.moves.key,
            due=self._asked_at,
        )
        return [[_command(letter, command, self._names, partitions)]]


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
