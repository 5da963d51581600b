"""Runs jobs to see what they come to, by the worker's own executor, and without any effect."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Any, Final, Self

from streams.durations import format_ms
from streams.errors import ProcessDied
from streams.jobs.definition import JobDefinition
from streams.jobs.identity import JobKey
from streams.jobs.outcome import Completed, Dead, Discarded, Outcome, Retrying, Snoozed
from streams.jobs.resource import Factory, stand_ins
from streams.replay.captured import CapturedLog, CapturedObjects
from streams.replay.comparing import Account, Ended
from streams.wire.envelope import Envelope, Record, encode
from streams.wire.topics import TopicNames
from streams.worker.admission import attempt_of
from streams.worker.attempt import Attempt
from streams.worker.children import Appends, ChildSender
from streams.worker.executor import LoopExecutor
from streams.worker.ports import Clock, Processes
from streams.worker.resources import Resources
from streams.worker.results import Results

_NEAR_MS: Final = 365 * 86_400_000  # who waits for a limit has no open table to wait in
_ABANDONED: Final = 1_000  # threads that go on, before others have to wait for them
_LOOK: Final = 1.0  # seconds between looks at whether handlers can run at all
_UNWIND: Final = 6.0  # seconds for handlers, if somebody interrupts; a little more than they get
_GATHER: Final = "20ms"  # a handler of batches gets what is at hand: nothing more arrives


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """What a job came to, and what it would have sent."""

    account: Account
    sent: tuple[Envelope, ...]


class Shadow:
    """Handlers with their resources, middleware, threads and processes; but for Kafka all is real.

    Limits of the cluster, rates, breakers and turns of tenants do not hold here: they belong to
    jobs that have an effect. One attempt is all that a job gets.
    """

    def __init__(
        self,
        definitions: Iterable[JobDefinition],
        clock: Clock,
        names: TopicNames,
        *,
        concurrency: int,
        threads: int,
        processes: Callable[[Appends], Processes] | None = None,
        replaced: Mapping[Factory, Any] | None = None,
    ) -> None:
        self.definitions = tuple(map(fenced, definitions))
        self._clock = clock
        self._log = CapturedLog()
        self._objects = CapturedObjects()
        instead = stand_ins(each.handler for each in self.definitions)
        self._resources = Resources(self.definitions, replaced, instead)
        is_apart = any(each.runs_in == "process" for each in self.definitions)
        self._processes = processes(self._log) if processes is not None and is_apart else None
        self._executor = LoopExecutor(
            clock,
            lambda happened: None,
            concurrency=concurrency,
            threads=threads,
            send=ChildSender(names, self._log),
            results=Results(self._objects),
            opened=self._resources.opened,
            processes=self._processes,
            abandoned_threads=_ABANDONED,
            near_ms=_NEAR_MS,
            shadow=True,
        )
        self._running: set[Attempt] = set()

    async def __aenter__(self) -> Self:
        await self._resources.open()
        self._executor.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._executor.close()
        for attempt in list(self._running):
            self._executor.abandon(attempt)
        with suppress(TimeoutError):
            await asyncio.wait_for(self._executor.wait_until_idle(), _UNWIND)
        await self._executor.stop()
        await self._resources.close()

    async def run(self, envelope: Envelope, definition: JobDefinition) -> Run:
        """Run one attempt of a job; `definition` is one of ours.

        Raises:
            ProcessDied: no process for it can be started.
        """
        job = JobKey(name=envelope.name, ordering_key=envelope.key, id=envelope.id)
        attempt = attempt_of(job, _record(envelope), envelope, definition, lane=None)
        attempt.expires = None  # it was worth to run then
        over: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()

        def done(attempt: Attempt, outcome: Outcome) -> None:
            if not over.done():
                over.set_result(outcome)

        self._log.begin(job.id)
        self._running.add(attempt)
        try:
            self._executor.submit(attempt, done)
            while not (await asyncio.wait([over], timeout=_LOOK))[0]:
                if self._processes is not None and self._processes.problem is not None:
                    raise ProcessDied(self._processes.problem)
            outcome = over.result()
        finally:
            self._running.discard(attempt)
            sent = self._log.end(job.id)
            if not over.done() or over.cancelled():
                self._executor.abandon(attempt)
        return Run(account=await self._account_of(outcome), sent=sent)

    async def _account_of(self, outcome: Outcome) -> Account:
        match outcome:
            case Completed(stored=None, result=result):
                return Account(ended=Ended.COMPLETED, result=result)
            case Completed(stored=stored) if stored is not None:
                result = await self._objects.get(stored.path)
                return Account(ended=Ended.COMPLETED, result=result)
            case Retrying(failure=failure) | Dead(failure=failure):
                return Account(
                    ended=Ended.FAILED,
                    error=failure.type,
                    message=failure.message,
                    trace=failure.trace,
                )
            case Discarded(reason=reason):
                return Account(ended=Ended.DISCARDED, message=reason)
            case Snoozed(for_ms=ms):
                return Account(ended=Ended.SNOOZED, message=f"for {format_ms(ms)}")
        raise AssertionError(f"nobody cancels a job in shadow, or holds it: {outcome}")


def fenced(definition: JobDefinition) -> JobDefinition:
    """A definition without what is for jobs that have an effect, or have others beside them."""
    batch = definition.batch
    return replace(
        definition,
        rate_limit=None,
        breaker=None,
        cluster_concurrency=None,
        fair_by=None,
        single=None,
        batch=None if batch is None else replace(batch, wait=_GATHER),
    )


def _record(envelope: Envelope) -> Record:
    key, value, headers = encode(envelope)
    return Record(
        topic="",
        partition=0,
        offset=0,
        timestamp=envelope.time,
        key=key,
        value=value,
        headers=tuple(headers),
    )
