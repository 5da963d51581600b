"""Which jobs old events start: of which handlers, with which key, of how many events. Pure."""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Iterable, Sequence

from streams.jobs.definition import JobDefinition
from streams.replay.history import OldEvent
from streams.wire.envelope import Envelope
from streams.worker.event_jobs import job_of

EventWithJobs = tuple[OldEvent, Sequence[tuple[JobDefinition, Envelope]]]


class Chosen:
    """The jobs that are meant; what is None lets all pass."""

    def __init__(
        self,
        definitions: Iterable[JobDefinition],
        *,
        key: str | None = None,
        limit: int | None = None,
    ) -> None:
        self._definitions = tuple(definitions)
        self._key = key
        self._limit = limit
        self.events = 0  # that start a job
        self.unreadable = 0

    async def of(self, events: AsyncIterable[OldEvent]) -> AsyncIterator[EventWithJobs]:
        """Events with their jobs, as the fan-out makes these."""
        async for old in events:
            if self._limit is not None and self.events >= self._limit:
                return
            if old.event is None:
                self.unreadable += 1
                continue
            made = ((each, job_of(old.event, each)) for each in self._definitions)
            jobs = [(definition, job) for definition, job in made if self._is_meant(job)]
            if jobs:
                self.events += 1
                yield old, jobs

    def _is_meant(self, job: Envelope) -> bool:
        if self._key is None:
            return True
        return job.key is not None and self._key in (job.key, job.key.partition(":")[2])
