"""Which dead letters are meant: by job, queue, error, text, key, time and generation. Pure."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Final

from streams.replay.letters import Letter
from streams.wire.times import show_time

_TIMES: Final = ("since", "until")


@dataclass(frozen=True, slots=True, kw_only=True)
class LetterFilter:
    """All that is said has to fit; what is None fits everything."""

    letter: str | None = None  # the job's id, or the place of what could not be decoded
    job: str | None = None
    queue: str | None = None
    error: str | None = None  # its type, with or without its module
    text: str | None = None  # in the message, the trace or the payload, in any case
    key: str | None = None  # with or without its scope
    since: int | None = None  # when it failed last, in ms since the epoch
    until: int | None = None  # before that
    generation: int | None = None

    def fits(self, letter: Letter) -> bool:
        """Whether this letter is meant."""
        return (
            (self.letter is None or letter.id == self.letter)
            and (self.job is None or letter.name == self.job)
            and (self.queue is None or letter.queue == self.queue)
            and (self.generation is None or letter.generation == self.generation)
            and (self.since is None or letter.last_failure >= self.since)
            and (self.until is None or letter.last_failure < self.until)
            and (self.error is None or _is_error(letter, self.error))
            and (self.key is None or _has_key(letter, self.key))
            and (self.text is None or _says(letter, self.text))
        )

    def told(self) -> str:
        """What was asked for, as it is written on the command line; nothing: all letters."""
        said = ((field.name, getattr(self, field.name)) for field in fields(self))
        return " ".join(
            f"--{name} {show_time(value) if name in _TIMES else value}"
            for name, value in said
            if value is not None
        )


def _is_error(letter: Letter, asked: str) -> bool:
    return letter.error == asked or letter.error.endswith(f".{asked}")


def _has_key(letter: Letter, asked: str) -> bool:
    key = None if letter.job is None else letter.job.ordering_key
    return key is not None and (key == asked or key.partition(":")[2] == asked)


def _says(letter: Letter, asked: str) -> bool:
    wanted = asked.casefold()
    payload = "" if letter.payload is None else letter.payload.decode(errors="replace")
    return any(wanted in text.casefold() for text in (letter.message, letter.trace, payload))
