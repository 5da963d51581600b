"""Old events through today's handlers in shadow, each compared with what it came to then."""

from __future__ import annotations

from collections.abc import AsyncIterable, Awaitable, Callable
from dataclasses import replace
from functools import partial

import orjson

from streams.jobs.definition import JobDefinition
from streams.jobs.outcome import StoredResult
from streams.replay.chosen import EventWithJobs
from streams.replay.comparing import Account, Difference, Sent, differences
from streams.replay.history import OldEvent
from streams.replay.in_order import InOrder
from streams.replay.marks import Marks
from streams.replay.recorded import Recorded, account_of, ended_its_worker
from streams.replay.shadow import Run, Shadow
from streams.replay.shadow_report import Compared, ShadowReport
from streams.wire.envelope import Envelope
from streams.wire.state import LedgerRecord, OpenEntry

Fetch = Callable[[StoredResult], Awaitable[bytes]]


class ShadowReplay:
    """Runs the jobs of events, those of a key in their order, and reports.

    `fetch` gets a large result of then. `ignored` are fields that are not compared. `marks`: where
    it is said what runs.
    """

    def __init__(
        self,
        shadow: Shadow,
        recorded: Recorded,
        report: ShadowReport,
        fetch: Fetch,
        *,
        side_by_side: int,
        ignored: frozenset[str] = frozenset(),
        marks: Marks | None = None,
    ) -> None:
        self._shadow = shadow
        self._recorded = recorded
        self._report = report
        self._fetch = fetch
        self._ignored = ignored
        self._marks = marks
        self._work = InOrder(side_by_side)

    async def run(
        self, chosen: AsyncIterable[EventWithJobs], told: Callable[[], None] = lambda: None
    ) -> None:
        """Run what was chosen, to its end; `told` is called after each event."""
        try:
            async for old, jobs in chosen:
                for definition, job in jobs:
                    work = partial(self._do, old, definition, job)
                    await self._work.add(_lane(definition, job), work)
                told()
            await self._work.finish()
        finally:
            await self._work.stop()

    async def _do(self, old: OldEvent, definition: JobDefinition, job: Envelope) -> None:
        found = self._recorded.found(job.id)
        compared = Compared(
            job=job.name,
            id=job.id,
            key=job.key,
            event="" if old.event is None else old.event.id,
            place=old.place,
            time=old.record.timestamp,
        )
        if ended_its_worker(found):  # it would end us
            self._take(replace(compared, unrecorded="it ended its worker, and is not run"))
            return
        run = await self._run(job, definition, compared)
        compared = replace(compared, now=run.account, sent=tuple(each.name for each in run.sent))
        then = account_of(found)
        if isinstance(then, Account) and found is not None:
            then = await self._with_result(then, found)
        if isinstance(then, str) or found is None:
            self._take(replace(compared, unrecorded=str(then)))
            return
        self._take(self._beside(compared, then, found, run))

    async def _run(self, job: Envelope, definition: JobDefinition, compared: Compared) -> Run:
        if self._marks is None:
            return await self._shadow.run(job, definition)
        told = {name: getattr(compared, name) for name in ("job", "id", "key", "event", "place")}
        with self._marks.running(told):
            return await self._shadow.run(job, definition)

    def _take(self, one: Compared) -> None:
        self._report.take(one)
        if self._marks is not None:
            self._marks.count(self._report.jobs, self._report.different)

    async def _with_result(self, then: Account, found: OpenEntry | LedgerRecord) -> Account | str:
        if isinstance(found, LedgerRecord) and found.stored is not None:
            try:
                return replace(then, result=await self._fetch(found.stored))
            except OSError:
                return "its large result is not in object storage (STREAMS_OBJECTS)"
        return then

    def _beside(
        self, compared: Compared, then: Account, found: OpenEntry | LedgerRecord, run: Run
    ) -> Compared:
        recorded = self._recorded
        topics = recorded.topics_since(found)
        known = tuple(each for each in run.sent if recorded.topic_of(each) in topics)
        then = replace(then, sent=recorded.sent_by(found, topics))
        now = replace(
            run.account,
            sent=tuple(Sent(name=e.name, key=e.key, payload=e.payload) for e in known),
        )
        self._report.note_fields(then, now)
        told = differences(then, now, self._ignored)
        if found.job.ordering_key != compared.key:
            before, after = _shown(found.job.ordering_key), _shown(compared.key)
            told = (Difference(what="key", then=before, now=after), *told)
        return replace(compared, differences=told, sent_unknown=len(run.sent) - len(known))


def _shown(key: str | None) -> str:
    return orjson.dumps(key).decode()


def _lane(definition: JobDefinition, job: Envelope) -> str:
    """What runs one after the other, as it does in a queue; a job never runs beside its copy."""
    if definition.ordering == "strict" and job.key is not None:
        return job.key
    return f"#{job.id}"
