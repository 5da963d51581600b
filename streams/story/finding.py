"""Finding a job by its id alone: a bounded scan of the queue, retry and ledger topics."""

from __future__ import annotations

from dataclasses import dataclass, replace

from streams.client_handle import JobStatus, status_of
from streams.client_story import Story
from streams.errors import UndecodableRecord
from streams.jobs.identity import JobKey
from streams.jobs.states import State
from streams.wire.envelope import Envelope, Record, decode
from streams.wire.state import decode_ledger, decode_open
from streams.wire.topics import TopicNames


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """One job with the id that was asked for."""

    queue: str
    job: JobKey
    partition: int
    sent: Envelope | None = None  # as it arrived, if the queue still has it
    story: Story = Story()  # noqa: RUF009 - frozen

    @property
    def status(self) -> JobStatus:
        """How far it is; `queued` if no state says anything."""
        return status_of(self.story)

    @property
    def seen(self) -> bool:
        """Whether anything but a tombstone speaks of it."""
        return self.sent is not None or self.story != Story()


class Finder:
    """Takes the records of a scan, and keeps what they say about one id."""

    def __init__(self, names: TopicNames, queues: tuple[str, ...], id: str) -> None:
        self._id = id
        self._queues = {names.queue(queue): queue for queue in queues}
        self._retries = {names.retry(queue): queue for queue in queues}
        self._ledgers = {names.ledger(queue): queue for queue in queues}
        self._found: dict[tuple[str, JobKey], Found] = {}

    @property
    def topics(self) -> list[str]:
        """What to read; a job moves from the earlier ones to the later ones."""
        return [*self._queues, *self._retries, *self._ledgers]

    def found(self, name: str | None = None) -> list[Found]:
        """The jobs with this id, and with this name if one is given."""
        return [
            found
            for found in self._found.values()
            if found.seen and (name is None or found.job.name == name)
        ]

    def take(self, record: Record) -> None:
        """Note what one record says."""
        try:
            if record.topic in self._queues:
                self._take_sent(record)
            else:
                self._take_state(record)
        except (UndecodableRecord, ValueError):
            return  # others' records are no reason not to find ours

    def _take_sent(self, record: Record) -> None:
        wanted = self._id.encode()
        if wanted not in (record.value or b"") and wanted not in (v for _, v in record.headers):
            return
        envelope = decode(record)
        if envelope.id != self._id:
            return
        job = JobKey(name=envelope.name, ordering_key=envelope.key, id=envelope.id)
        found = self._of(self._queues[record.topic], job, record.partition)
        if found.sent is None:
            self._keep(replace(found, sent=envelope))

    def _take_state(self, record: Record) -> None:
        key = record.key or b""
        job = JobKey.decode(key)
        if job.id != self._id:
            return
        queue = self._retries.get(record.topic)
        if queue is not None:
            found = self._of(queue, job, record.partition)
            entry = None if record.value is None else decode_open(key, record.value)
            self._keep(replace(found, story=replace(found.story, entry=entry)))
        elif record.value is not None:
            found = self._of(self._ledgers[record.topic], job, record.partition)
            ledger = decode_ledger(key, record.value)
            self._keep(replace(found, story=replace(found.story, ledger=ledger)))

    def _of(self, queue: str, job: JobKey, partition: int) -> Found:
        return self._found.get((queue, job)) or Found(queue=queue, job=job, partition=partition)

    def _keep(self, found: Found) -> None:
        self._found[found.queue, found.job] = found


def is_negative(state: State) -> bool:
    """Whether a job that is in this state came to nothing."""
    return state in (State.DEAD, State.CANCELLED, State.DISCARDED, State.EXPIRED)
