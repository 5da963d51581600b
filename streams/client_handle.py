"""A job that was sent, from afar: its state, its result, and calling it off."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Protocol

import orjson

from streams.client_request import new_due
from streams.durations import Duration, to_ms
from streams.errors import JobFailed, ResultTimeout
from streams.jobs.identity import JobKey
from streams.jobs.notes import LogLine, Notes, Progress
from streams.jobs.outcome import StoredResult
from streams.jobs.states import OVER, State
from streams.values import immutable
from streams.wire.commands import Command, encode_command
from streams.wire.state import OpenEntry

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from contextlib import AbstractAsyncContextManager

    from streams.client_story import Story


class Link(Protocol):
    """What a handle needs of its client."""

    def now_ms(self) -> int:
        """What time it is, in milliseconds since the epoch."""
        ...

    def in_time(self, ms: int) -> AbstractAsyncContextManager[object]:
        """What ends a wait of so long with a TimeoutError."""
        ...

    def story(self, handle: Handle, *, wait_ms: int | None) -> AsyncIterator[Story]:
        """What state says about the job, newest last; ends at the present if nobody waits.

        Else it goes on for `wait_ms`: with each change, up to a TimeoutError.
        """
        ...

    async def command(self, handle: Handle, key: bytes, value: bytes) -> None:
        """Append to the command topic, next to the job."""
        ...

    async def fetch(self, stored: StoredResult) -> bytes:
        """A result from object storage."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class JobStatus:
    """How far a job is."""

    state: State
    generation: int = 0  # rises with each replay from the dead letters
    run: int = 0  # rises with each return to work within a generation
    attempt: int = 0  # how many were used up
    result: Any = None  # decoded, once completed
    stored: StoredResult | None = None  # a large result, which `Handle.result` fetches
    error: str | None = None  # why it failed last, or was ended
    progress: Progress | None = None  # as its handler told it last
    log: tuple[LogLine, ...] = ()  # the last 50 lines of its `ctx.log`
    due: datetime | None = None  # UTC: when it goes on, if it waits for a time


@immutable(frozen=True, slots=True, kw_only=True)
class Handle:
    """One job; asks Kafka alone. It stays usable as long as its client is open."""

    id: str
    name: str
    queue: str
    key: str | None  # with its scope
    time: int  # of the sending, milliseconds since the epoch
    partition: int
    id_given: bool = field(repr=False)
    replaces_dead: bool = field(default=False, repr=False)
    link: Link = field(repr=False, compare=False)

    @property
    def job(self) -> JobKey:
        """Under what the job's state is kept."""
        return JobKey(name=self.name, ordering_key=self.key, id=self.id)

    async def status(self) -> JobStatus:
        """How far the job is now. `queued` means that no worker has taken it up yet.

        A job that runs at this moment is still `queued`: only a takeover writes `running`, after
        10 s, or 2 s after its handler told a progress, or at once with a checkpoint.

        Raises:
            BrokerUnavailable: Kafka did not answer in time.
        """
        status = JobStatus(state=State.QUEUED)
        async for story in self.link.story(self, wait_ms=None):
            status = status_of(story)
        return status

    async def result(self, timeout: Duration = "5m") -> Any:
        """What the handler returned, as JSON values; waits up to `timeout` for it.

        Raises:
            JobFailed: the job is dead, cancelled, discarded or expired.
            ResultTimeout: it is not over yet.
            BrokerUnavailable: Kafka did not answer in time.
            ObjectsUnavailable: it is a large one, and the client was not told of `objects`.
            OSError: object storage did not answer, or has forgotten it.
        """
        last = JobStatus(state=State.QUEUED)
        wait_ms = to_ms(timeout)
        try:
            async with self.link.in_time(wait_ms):
                async for story in self.link.story(self, wait_ms=wait_ms):
                    last = status_of(story)
                    if last.state is State.COMPLETED:
                        if last.stored is None:
                            return last.result
                        return orjson.loads(await self.link.fetch(last.stored))
                    if last.state in FAILED:
                        raise failed(self.job, last)
        except TimeoutError:
            pass
        raise ResultTimeout(
            f"job {self.name} {self.id} is {last.state} after {timeout}: wait longer, or see "
            f"`streams jobs show {self.id}`; is a worker running for queue {self.queue}?"
        )

    async def cancel(self, reason: str = "") -> bool:
        """Ask the job's worker to end it; durable when this returns.

        Returns:
            False: it is over already, or dead, and stays that (`status()` says what). True: the
            worker is asked; a job that runs is interrupted, and may finish first.

        Raises:
            BrokerUnavailable: no acknowledgement in time; asking again is safe.
        """
        state = (await self.status()).state
        if state in OVER or state is State.DEAD:
            return False
        key, value = encode_command(Command(kind="cancel", job=self.job, reason=reason))
        await self.link.command(self, key, value)
        return True

    async def reschedule(
        self, *, delay: Duration | None = None, run_at: datetime | None = None
    ) -> bool:
        """Ask the job's worker to start it at another time; durable when this returns.

        For jobs that wait: for their time, for a retry, for their turn; also straight after the
        enqueue. `delay` is counted from now; a time that is past means now.

        Returns:
            False: it does not wait (`status()` says what it does), and nothing was asked. True:
            the worker is asked; a job that has begun by the time it hears of this goes on.

        Raises:
            PayloadInvalid: neither or both of the two, or no time that is.
            BrokerUnavailable: no acknowledgement in time; asking again is safe.
        """
        due = new_due(delay=delay, run_at=run_at, now=self.link.now_ms())
        if (await self.status()).state not in MAY_BE_TIMED:
            return False
        key, value = encode_command(Command(kind="reschedule", job=self.job, due=due))
        await self.link.command(self, key, value)
        return True


_TIMED = frozenset({State.QUEUED, State.SCHEDULED, State.RETRYING, State.SLEEPING})
# Which can get another time. A job is queued until something is written about it: it may run.
MAY_BE_TIMED = _TIMED | {State.PARKED}
FAILED = frozenset({State.DEAD, State.CANCELLED, State.DISCARDED, State.EXPIRED})


def failed(job: JobKey, status: JobStatus) -> JobFailed:
    """The error for a job that ended without a result."""
    why = status.error or "no reason was given"
    return JobFailed(f"job {job.name} {job.id} is {status.state}: {why}", state=status.state)


def status_of(story: Story) -> JobStatus:
    """What the latest records say: how far the job is."""
    ledger, entry = story.ledger, story.entry
    if ledger is not None and (entry is None or ledger.position >= entry.position):
        failure = ledger.failure
        return JobStatus(
            state=ledger.state,
            generation=ledger.generation,
            run=ledger.run,
            attempt=ledger.attempts,
            result=None if ledger.result is None else orjson.loads(ledger.result),
            stored=ledger.stored,
            error=f"{failure.type}: {failure.message}" if failure else ledger.reason or None,
            **_said(ledger.notes),
        )
    if entry is None:
        return JobStatus(state=State.QUEUED)
    failure = entry.failure
    return JobStatus(
        state=entry.told,
        generation=entry.generation,
        run=entry.run,
        attempt=entry.attempts,
        error=f"{failure.type}: {failure.message}" if failure else entry.reason or None,
        due=_due(entry),
        **_said(entry.notes),
    )


def _due(entry: OpenEntry) -> datetime | None:
    if entry.due is None or entry.state not in _TIMED:
        return None
    return datetime.fromtimestamp(entry.due / 1000, UTC)


def _said(notes: Notes | None) -> dict[str, Any]:
    return {} if notes is None else {"progress": notes.progress, "log": notes.log}
