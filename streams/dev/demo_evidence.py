"""What the topics of the demo say, and what is missing from its story. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from streams.errors import UndecodableRecord
from streams.jobs.identity import JobKey
from streams.jobs.states import State
from streams.wire.envelope import Record, decode
from streams.wire.state import LedgerRecord, OpenEntry, decode_ledger, decode_open
from streams.wire.topics import TopicNames


class Part(StrEnum):
    """What is to become of a person's e-mail."""

    FINE = "fine"  # arrives at once
    LATE = "late"  # the server says 451 once
    LOST = "lost"  # the server says 550 until the mailbox is mended


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """One who signs up in the demo."""

    part: Part
    user_id: int
    address: str
    event_id: str
    job_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Letter:
    """A dead letter was written, or resolved by its tombstone."""

    resolved: bool


@dataclass(frozen=True, slots=True)
class Queued:
    """A job arrived in its queue."""


News = Queued | OpenEntry | LedgerRecord | Letter


@dataclass(slots=True)
class Evidence:
    """Every record about the jobs of these people, in the order in which it was read."""

    names: TopicNames
    queue: str
    people: Sequence[Person]
    news: dict[str, list[News]] = field(default_factory=dict)

    def take(self, record: Record) -> tuple[Person, News] | None:
        """Note a record; what it says, if it is about one of them."""
        try:
            said = self._read(record)
        except (UndecodableRecord, ValueError):
            return None
        if said is None:
            return None
        job_id, news = said
        person = next((p for p in self.people if p.job_id == job_id), None)
        if person is None:
            return None
        self.news.setdefault(job_id, []).append(news)
        return person, news

    def _read(self, record: Record) -> tuple[str, News] | None:
        key = record.key or b""
        if record.topic == self.names.queue(self.queue):
            return decode(record).id, Queued()
        if record.topic == self.names.dead:
            job = JobKey.decode(key.rpartition(b"#")[0])
            return job.id, Letter(resolved=record.value is None)
        if record.value is None:
            return None
        if record.topic == self.names.retry(self.queue):
            entry = decode_open(key, record.value)
            return entry.job.id, entry
        ledger = decode_ledger(key, record.value)
        return ledger.job.id, ledger

    def missing(self, delivered: Mapping[str, int]) -> list[str]:
        """What has not been seen, or was seen too often; nothing if the story is complete."""
        found: list[str] = []
        for person in self.people:
            found += [f"{person.address}: {what}" for what in self._missing_of(person)]
            if (count := delivered.get(person.address, 0)) != 1:
                found.append(f"{person.address}: {count} messages arrived, not one")
        return found

    def _missing_of(self, person: Person) -> list[str]:
        news = self.news.get(person.job_id, [])
        if not any(isinstance(one, Queued) for one in news):
            return [f"no job was started by event {person.event_id}"]
        entries = [one for one in news if isinstance(one, OpenEntry)]
        retries = [one for one in entries if one.state is State.RETRYING]
        endings = [one for one in news if isinstance(one, LedgerRecord)]
        letters = [one for one in news if isinstance(one, Letter)]
        found = _of_ending(endings, generation=1 if person.part is Part.LOST else 0)
        if person.part is Part.LATE:
            found += _of_retries(retries, endings)
        elif retries:
            found.append(f"{len(retries)} entries say that it is retried, which it should not be")
        expected = [False, True] if person.part is Part.LOST else []
        if [letter.resolved for letter in letters] != expected:
            found.append(_of_letters(letters, expected))
        return found


def _of_ending(endings: Sequence[LedgerRecord], generation: int) -> list[str]:
    if len(endings) != 1:
        return [f"{len(endings)} ledger records, not one"]
    ending = endings[0]
    if ending.state is not State.COMPLETED:
        return [f"it ended as {ending.state}, not completed"]
    if ending.generation != generation:
        return [f"it completed in generation {ending.generation}, not {generation}"]
    return []


def _of_retries(retries: Sequence[OpenEntry], endings: Sequence[LedgerRecord]) -> list[str]:
    if len(retries) != 1:
        return [f"{len(retries)} entries say that it is retried, not one"]
    due = retries[0].due
    if retries[0].attempts != 1 or due is None:
        return [f"it is retried after attempt {retries[0].attempts}, due {due}"]
    second = [a for ending in endings for a in ending.history if a.attempt == 2]
    if not second:
        return ["no second attempt was made"]
    if second[0].started < due:
        return [f"the second attempt started {due - second[0].started} ms before it was due"]
    return []


def _of_letters(letters: Sequence[Letter], expected: Sequence[bool]) -> str:
    if not expected:
        return "there is a dead letter, which should not be"
    if not letters:
        return "there is no dead letter"
    if not any(letter.resolved for letter in letters):
        return "its dead letter was not replayed"
    return f"{len(letters)} records about its dead letter, not a letter and its tombstone"
