"""Enqueues the ticks of schedules: whoever owns the first partition of a queue has its schedules.

Two workers that both take themselves for the owner write the same ticks: a tick's id and time
follow from the schedule, so that the second copy is a redelivery. Which ticks were decided is kept
in the control topic, behind the jobs: a crash between them repeats these.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Final, TypeVar

from streams.cron.missed import Due, Firing, decide
from streams.cron.schedule import Schedule
from streams.cron.tick import make_tick
from streams.cron.ticks import due_at, next_tick, tick_id
from streams.errors import AppendFailed, UndecodableRecord
from streams.jobs.definition import JobDefinition
from streams.jobs.identity import JobKey
from streams.jobs.registry import Registry
from streams.values import immutable
from streams.wire.commands import Command, encode_command
from streams.wire.envelope import Envelope, encode
from streams.wire.partition import partition_of
from streams.wire.schedules import (
    ADDED,
    PAUSED,
    TICKED,
    Added,
    Halt,
    Ticked,
    decode_added,
    decode_halt,
    decode_ticked,
    encode_ticked,
    shape_of,
)
from streams.wire.topics import TopicNames
from streams.worker.control import Control
from streams.worker.ports import Alarm, Append, Clock, Log

logger = logging.getLogger(__name__)

GRACE_MS: Final = 30_000
"""A tick that is later than this was missed: longer than it takes to replace an owner."""
GONE_AFTER_MS: Final = 15 * 60_000
"""In a rolling deploy a schedule that this worker does not know is known to the next one."""
RETRY_MS: Final = 1_000
AHEAD_MS: Final = 60_000
"""Clocks of workers differ by less."""
AT_ONCE: Final = 100
SOURCE: Final = "cron"

T = TypeVar("T")


@immutable(frozen=True, slots=True, kw_only=True)
class Planned:
    """A schedule, and the job that each of its ticks is."""

    name: str
    schedule: Schedule
    job: str
    queue: str
    key: str | None
    payload: bytes | None  # JSON; None: it takes a tick
    cancels: bool = False  # what runs or waits of it
    is_added: bool = False  # at run time


def planned_in_code(definition: JobDefinition) -> Planned | None:
    """The schedule of a definition, if it has one."""
    if definition.cron is None:
        return None
    is_keyed = definition.payload_type.__key__ is not None
    return Planned(
        name=definition.name,
        schedule=definition.cron,
        job=definition.name,
        queue=definition.queue,
        key=f"{definition.key_scope}:{definition.name}" if is_keyed else None,
        payload=None,
        cancels=definition.cron.overlap == "cancel_previous",
    )


def planned_at_run_time(name: str, added: Added) -> Planned:
    """A schedule that was added."""
    return Planned(
        name=name,
        schedule=added.schedule,
        job=added.job,
        queue=added.queue,
        key=added.key,
        payload=added.payload,
        is_added=True,
    )


def tick_envelope(planned: Planned, firing: Firing) -> Envelope:
    """The job that a tick is."""
    payload = planned.payload
    if payload is None:
        payload = make_tick(planned.schedule, planned.name, firing).model_dump_json().encode()
    return Envelope(
        id=tick_id(planned.name, firing.tick_ms),
        name=planned.job,
        source=SOURCE,
        time=firing.tick_ms,
        queue=planned.queue,
        payload=payload,
        key=planned.key,
    )


def cancel_command(planned: Planned, tick_ms: int, end: int) -> tuple[bytes, bytes]:
    """What ends the runs of earlier ticks, if their queue ended at `end`."""
    return encode_command(
        Command(
            kind="purge",
            job=JobKey(name=planned.job, ordering_key=planned.key, id=""),
            reason=f"the next tick came: {tick_id(planned.name, tick_ms)}",
            until=end,
            sent_by=tick_ms - 1,
            interrupts=True,
        )
    )


class Schedules:
    """Those of one worker's queues."""

    def __init__(
        self,
        registry: Registry,
        names: TopicNames,
        *,
        log: Log,
        clock: Clock,
        control: Control,
        partitions: int,
        owns: Callable[[str], bool],
        count: Callable[[str, Ticked], None] = lambda name, since: None,
    ) -> None:
        self._in_code = {
            planned.name: planned
            for definition in registry.definitions()
            if (planned := planned_in_code(definition)) is not None
        }
        self._names = names
        self._log = log
        self._clock = clock
        self._control = control
        self._partitions = partitions  # of each queue
        self._owns = owns
        self._count = count  # what was enqueued, missed and skipped
        self._wake = asyncio.Event()
        self._alarm: Alarm | None = None
        self._is_firing = False
        self._owned: set[str] = set()  # queues, when it last looked
        self._version = -1  # of the control topic's schedules, as they are known here
        self._planned: dict[str, Planned] = {}
        self._ticked: dict[str, Ticked] = {}
        self._halts: dict[str, Halt] = {}
        self._next: dict[str, tuple[Schedule, int, int | None]] = {}  # see `_next_due`
        self._due: dict[str, tuple[str, int]] = {}  # queue, and when the next tick is due
        self._unknown_since: dict[str, int] = {}
        self._ahead: set[str] = set()  # those of which it was said
        self._hidden: set[str] = set()  # added ones whose name is in the code

    @property
    def is_firing(self) -> bool:
        """Whether it has something to do before time passes."""
        return self._is_firing or self._wake.is_set()

    def look(self) -> None:
        """Look again: a partition or the control topic is another one than before."""
        if self._in_code or self._control.schedules_version:
            self._wake.set()

    def told_due(self) -> dict[str, int]:
        """When the next tick is due, of each schedule that is this worker's and not paused."""
        return {name: at for name, (queue, at) in self._due.items() if self._owns(queue)}

    async def run(self) -> None:
        """Enqueue what is due, again and again."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            self._is_firing = True
            try:
                at = await self._fire_all()
            except (AppendFailed, OSError) as error:  # nothing is decided: it is repeated
                logger.warning("schedules: %s; trying again", error)
                at = self._clock.now() + RETRY_MS
            finally:
                self._is_firing = False
            if self._alarm is not None:
                self._alarm.cancel()
            self._alarm = None if at is None else self._clock.call_at(at, self._wake.set)

    async def _fire_all(self) -> int | None:
        """Enqueue all that is due; when there is more to do."""
        self._read_control()  # which may name queues that had no schedule
        owned = self._owned_queues()
        if not owned <= self._owned:  # what the last owner decided may not be known here yet
            await self._control.refresh()
            self._read_control()
            owned = self._owned_queues()
        self._owned = owned
        now = self._clock.now()
        jobs: list[Append] = []
        ticked: dict[str, Ticked] = {}
        times: list[int] = []
        due_next: dict[str, tuple[str, int]] = {}
        for seen, planned in enumerate(self._planned.values()):
            if seen % AT_ONCE == AT_ONCE - 1:
                await asyncio.sleep(0)  # to reckon with thousands takes longer than others can wait
            if planned.queue not in owned:
                continue
            halt = self._halts.get(planned.name)
            known = self._begin(planned, halt, now)
            if halt is None or not halt.is_paused:
                at = self._next_due(planned, known.last)
                if at is not None and at <= now:
                    due = decide(planned.schedule, planned.name, known.last, now, GRACE_MS)
                    for firing in due.firings:
                        jobs += await self._appends(planned, firing)
                    known = _after(known, due)
                    at = self._next_due(planned, known.last)
                if at is not None:
                    times.append(at)
                    due_next[planned.name] = planned.queue, at
            if known != self._ticked.get(planned.name):
                ticked[planned.name] = known
        ticked |= self._retired(owned, now)
        times += [since + GONE_AFTER_MS for since in self._unknown_since.values()]
        if jobs:
            await self._log.append(jobs)
        records: list[tuple[bytes, bytes | None]] = [encode_ticked(*e) for e in ticked.items()]
        records += [(TICKED + name.encode(), None) for name in self._removed(owned)]
        if records:
            # Behind the jobs, and perhaps repeated by the next owner: then they are there twice.
            await self._control.write(records)
        self._due = due_next  # else those stay which could not be enqueued
        for name, known in ticked.items():
            self._count(name, known.since(self._ticked.get(name)))
        return min(times, default=None)

    def _next_due(self, planned: Planned, last: int) -> int | None:
        """When the first tick after `last` is due; reckoned once, not whenever another one is."""
        known = self._next.get(planned.name)
        if known is not None and known[:2] == (planned.schedule, last):
            return known[2]
        tick = next_tick(planned.schedule, last)
        at = None if tick is None else due_at(planned.schedule, planned.name, tick)
        self._next[planned.name] = planned.schedule, last, at
        return at

    def _owned_queues(self) -> set[str]:
        queues = {each.queue for each in self._planned.values()}
        queues |= {each.queue for each in self._ticked.values()}
        return {queue for queue in queues if self._owns(queue)}

    def _read_control(self) -> None:
        """What was added, paused and decided, if that has changed."""
        if self._version == self._control.schedules_version:
            return
        self._version = self._control.schedules_version
        self._planned = dict(self._in_code)
        for name, added in decoded(self._control.named(ADDED), decode_added).items():
            if name not in self._in_code:
                self._planned[name] = planned_at_run_time(name, added)
            elif name not in self._hidden:
                self._hidden.add(name)
                logger.warning("schedule %s was added, and is in the code: that one holds", name)
        self._next = {name: each for name, each in self._next.items() if name in self._planned}
        self._ticked = decoded(self._control.named(TICKED), decode_ticked)
        self._halts = decoded(self._control.named(PAUSED), decode_halt)

    def _begin(self, planned: Planned, halt: Halt | None, now: int) -> Ticked:
        """How far it is; one that is new, or another one than before, begins now."""
        known = self._ticked.get(planned.name)
        shape = shape_of(planned.schedule)
        if known is None:
            return Ticked(last=now, shape=shape, queue=planned.queue, is_added=planned.is_added)
        known = replace(known, queue=planned.queue, is_added=planned.is_added)
        if known.shape != shape:
            return replace(known, last=now, shape=shape, gone=None)
        last = known.last
        # What was due meanwhile was not missed.
        if known.gone is not None:
            last = max(last, now)
        if halt is not None and not halt.is_paused and halt.at != known.resumed:
            # Once: it is also how one goes on that was decided ahead, while a clock was wrong.
            last = halt.at if last > now else max(last, halt.at)
            known = replace(known, resumed=halt.at)
        self._note_ahead(planned.name, last, now)
        return replace(known, last=last, gone=None)

    def _note_ahead(self, name: str, last: int, now: int) -> None:
        """Say once that a schedule is silent since some worker's clock was ahead."""
        if last <= now + AHEAD_MS:
            self._ahead.discard(name)
        elif name not in self._ahead:
            self._ahead.add(name)
            logger.warning(
                "schedule %s was decided up to %s, which is to come: a clock was ahead then. "
                "Nothing of it runs before that, unless `streams cron resume %s` is given",
                name,
                datetime.fromtimestamp(last / 1000, UTC).isoformat(timespec="seconds"),
                name,
            )

    async def _appends(self, planned: Planned, firing: Firing) -> list[Append]:
        key, value, headers = encode(tick_envelope(planned, firing))
        tick = Append(self._names.queue(planned.queue), None, key, value, headers)
        return [await self._cancel(planned, firing), tick] if planned.cancels else [tick]

    async def _cancel(self, planned: Planned, firing: Firing) -> Append:
        """The command that ends what runs or waits of earlier ticks."""
        assert planned.key is not None
        partition = partition_of(planned.key.encode(), self._partitions)
        end = await self._log.end(self._names.queue(planned.queue), partition)
        key, value = cancel_command(planned, firing.tick_ms, end)
        return Append(self._names.commands(planned.queue), partition, key, value)

    def _removed(self, owned: set[str]) -> list[str]:
        """Those that were added, and are no more.

        Whoever removed one has removed its record too, but the last tick may have written it again.
        """
        return [
            name
            for name, ticked in self._ticked.items()
            if ticked.is_added and name not in self._planned and ticked.queue in owned
        ]

    def _retired(self, owned: set[str], now: int) -> dict[str, Ticked]:
        """Those that are neither in the code nor were added: noted once that is sure."""
        unknown = {
            name: ticked
            for name, ticked in self._ticked.items()
            if name not in self._planned
            and ticked.queue in owned
            and ticked.gone is None
            and not ticked.is_added
        }
        self._unknown_since = {name: self._unknown_since.get(name, now) for name in unknown}
        gone = {}
        for name, since in list(self._unknown_since.items()):
            if now >= since + GONE_AFTER_MS:
                logger.info("schedule %s is gone from the code: retired", name)
                gone[name] = replace(unknown[name], gone=now)
                del self._unknown_since[name]
        return gone


def _after(known: Ticked, due: Due) -> Ticked:
    missed = sum(firing.missed for firing in due.firings) + due.skipped
    return replace(
        known,
        last=max(known.last, due.until_ms),
        fired=known.fired + len(due.firings),
        missed=known.missed + missed,
        skipped=known.skipped + due.skipped,
    )


def decoded(values: Mapping[str, bytes], decode: Callable[[bytes], T]) -> dict[str, T]:
    """What records say, by name; one that can't be read is left out, and told of."""
    found = {}
    for name, value in values.items():
        try:
            found[name] = decode(value)
        except UndecodableRecord as error:
            logger.warning("schedule %s: %s", name, error)
    return found
