"""The journey of a batch through one partition of a queue: start reading here.

One task works in turns: conclude what ended, obey commands, release what is due, admit what
arrived, settle all of it in one go, then look at the keys that this freed. State is only read
between settles, so a turn always sees everything that was decided before it.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from streams.errors import UndecodableRecord
from streams.jobs.identity import JobKey
from streams.jobs.lifecycle import Happening, LifecycleEvent, Listener
from streams.jobs.outcome import Cancelled, Completed, Discarded, Expired, Outcome
from streams.jobs.registry import Registry
from streams.jobs.states import State
from streams.wire.envelope import Record, decode
from streams.wire.state import Command, OpenEntry, undecodable_letter
from streams.worker import settle
from streams.worker.admission import attempt_of, entry_record, new_entry
from streams.worker.attempt import Attempt
from streams.worker.ports import Alarm, Append, Clock, Executor, Log, Source
from streams.worker.settlement import Place, Settlement
from streams.worker.tables import Tables, due_row, lane_of
from streams.worker.triage import Known, Verdict, triage
from streams.worker.watermark import Watermark

logger = logging.getLogger(__name__)

ADMITTED_MAX = 10_000  # jobs in hand for a partition; past it the queue is held back
RETRY_PAUSES_MS = (100, 500, 2_000, 5_000)  # between tries of a settle that failed


@dataclass(slots=True)
class Lane:
    """The jobs of one key that are in hand: one runs, the others wait their turn."""

    running: Attempt | None = None
    waiting: deque[Attempt] = field(default_factory=deque)


class Pipeline:
    """Owns one partition of one queue while it is assigned to this worker."""

    def __init__(
        self,
        place: Place,
        *,
        registry: Registry,
        log: Log,
        source: Source,
        tables: Tables,
        clock: Clock,
        executor: Executor,
        notify: Listener,
        start: int,
        on_failure: Callable[[BaseException], None],
    ) -> None:
        self.place = place
        self.watermark = Watermark(start)
        self.tables = tables
        self._registry = registry
        self._log = log
        self._source = source
        self._clock = clock
        self._executor = executor
        self._notify = notify
        self._on_failure = on_failure
        self._arrived: deque[Sequence[Record]] = deque()
        self._ended: deque[tuple[Attempt, Outcome]] = deque()
        self._commands: deque[tuple[Command, int, int]] = deque()
        # Cancels of jobs that reading has not reached: offset of the command, end of the queue then
        self._ahead: dict[bytes, tuple[Command, int, int]] = {}
        self._lanes: dict[bytes, Lane] = {}
        self._active: dict[bytes, Attempt] = {}
        self._early: set[bytes] = set()  # lanes whose first open job reading has not passed yet
        self._due_cursor = b""
        self._alarm: Alarm | None = None
        self._wake = asyncio.Event()
        self._idle = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._draining = False
        self._has_failed = False
        self._commands_end = 0  # the offset after the last command that was taken
        self._letters_due: list[OpenEntry] = []  # dead, and their letter may be missing
        self._letters_sent: list[OpenEntry] = []  # dead, and their letter is durable

    # -- its life: start, turns, drain, stop ---------------------------------------------------

    def start(self) -> None:
        """Resume what is open, then take turns until stopped."""
        self._resume()
        self._task = asyncio.create_task(self._run(), name=f"pipeline-{self.place.topic}")
        self._wake.set()

    async def drain(self) -> None:
        """Stop starting jobs, and wait until what has ended is settled."""
        self._draining = True
        self._wake.set()
        while not self._has_failed and (self._ended or not self._idle.is_set()):
            self._idle.clear()
            self._wake.set()
            await self._idle.wait()

    def resume(self) -> None:
        """Go on after a drain: the partition came back."""
        self._draining = False
        for lane in self._lanes.values():
            if lane.running is None and lane.waiting:
                lane.running = lane.waiting.popleft()
                self._start(lane.running)
        early, self._early = self._early, set()
        for key in early:
            self._start_next_open(key)
        self._wake.set()

    async def stop(self) -> None:
        """Give the partition up; what still runs is interrupted and its outcome dropped."""
        if self._alarm is not None:
            self._alarm.cancel()
        for attempt in list(self._active.values()):
            self._executor.abandon(attempt)
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        self.tables.store.close()

    @property
    def running(self) -> int:
        """How many attempts run or wait for a slot."""
        return len(self._active)

    @property
    def wants_more(self) -> bool:
        """Whether the queue may be read further."""
        return not self._draining and len(self._active) < ADMITTED_MAX and len(self._arrived) < 4

    def oldest_waiting_ms(self, now: int) -> int:
        """For how long the oldest job in hand that has not started could have run; 0: none."""
        waiting = [a.due or a.envelope.time for a in self._active.values() if a.started is None]
        waiting += [records[0].timestamp for records in self._arrived]
        return max(0, now - min(waiting)) if waiting else 0

    @property
    def quiet(self) -> bool:
        """Nothing in hand and nothing to decide."""
        return not (self._active or self._arrived or self._ended or self._commands) and (
            self._idle.is_set()
        )

    def deliver(self, records: Sequence[Record]) -> None:
        """Take a fetched batch; it is never refused."""
        self._arrived.append(records)
        self._idle.clear()
        self._wake.set()

    def command(self, command: Command, offset: int, queue_end: int) -> None:
        """Take the command read at `offset` of its topic, when the queue ended at `queue_end`."""
        self._commands.append((command, offset, queue_end))
        self._idle.clear()
        self._wake.set()

    def _attempt_ended(self, attempt: Attempt, outcome: Outcome) -> None:
        self._ended.append((attempt, outcome))
        self._idle.clear()
        self._wake.set()

    async def _run(self) -> None:
        try:
            await self._take_turns()
        except Exception as error:
            # What was decided in this turn is unknown: only a restart from durable state is right.
            logger.exception("%s/%d failed", self.place.topic, self.place.partition)
            self._has_failed = True
            self._idle.set()  # nobody must wait for its turns any more
            self._on_failure(error)

    async def _take_turns(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            settlement = self._turn(self._clock.now())
            if settlement:
                await self._settle(settlement)
            self._set_alarm()
            if not self._wake.is_set():
                self._idle.set()

    def _turn(self, now: int) -> Settlement:
        settlement = Settlement()
        while self._ended:
            attempt, outcome = self._ended.popleft()
            self._conclude(attempt, outcome, settlement, now)
        while self._commands:
            command, offset, queue_end = self._commands.popleft()
            if offset >= self.tables.applied(self.place.commands):
                self._commands_end = offset + 1
                self._obey(command, offset, queue_end, settlement, now)
        self._note_commands(settlement)
        self._write_letters(settlement)
        if not self._draining:
            self._release_due(settlement, now)
            while self._arrived and len(self._active) < ADMITTED_MAX:
                for record in self._arrived.popleft():
                    self._admit(record, settlement, now)
                settlement.touched |= self._early
                self._early = set()
        return settlement

    async def _settle(self, settlement: Settlement) -> None:
        """Write, then acknowledge; a write that fails stops this partition until it succeeds."""
        tries = 0
        while True:
            try:
                await settlement.write(self._log, self.tables, self.place)
                break
            except Exception:
                pause = RETRY_PAUSES_MS[min(tries, len(RETRY_PAUSES_MS) - 1)]
                tries += 1
                logger.exception(
                    "settling %s/%d failed; trying again in %d ms",
                    self.place.topic,
                    self.place.partition,
                    pause,
                )
                await self._pause(pause)
        for offset in settlement.finished:
            self.watermark.finish(offset)
        self._source.release(self.watermark.value)
        for event in settlement.events:
            self._notify(event)
        for entry in settlement.opens.values():
            self._note_due(entry)
            if entry.letter_pending:
                self._letters_sent.append(entry)
                self._wake.set()
        if self._draining:
            self._early |= settlement.touched  # looked at when the partition comes back
        else:
            for lane in settlement.touched:
                self._start_next_open(lane)

    async def _pause(self, ms: int) -> None:
        over = asyncio.Event()
        self._clock.call_at(self._clock.now() + ms, over.set)
        await over.wait()

    # -- arrivals ------------------------------------------------------------------------------

    def _admit(self, record: Record, settlement: Settlement, now: int) -> None:
        if not self.watermark.begin(record.offset):
            return  # a redelivery of what is in hand or settled already
        try:
            envelope = decode(record)
        except UndecodableRecord as error:
            self._bury_undecodable(record, str(error), settlement, now)
            return
        definition = self._registry.by_name(envelope.name)
        strict = definition is None or definition.ordering == "strict"
        job = JobKey(name=envelope.name, ordering_key=envelope.key, id=envelope.id)
        state_key = job.encode()
        lane = record.key if strict and envelope.key is not None else None
        active = self._active.get(state_key)
        entry = None if state_key in settlement.closes else self._entry(state_key, settlement)
        verdict = triage(
            envelope,
            Known(
                active_time=None if active is None else active.envelope.time,
                entry=entry,
                ledger=settlement.ledgers.get(state_key) or self.tables.ledger(state_key),
                key_blocked=lane is not None and self._is_blocked(lane, settlement),
            ),
            now=now,
            unique_for_ms=self.place.unique_for_ms
            if definition is None
            else definition.unique_for_ms,
        )
        if verdict is Verdict.DUPLICATE:
            self._tell(settlement, Happening.DUPLICATE, job, now)
            settlement.finished.append(record.offset)
            return
        if definition is None:
            entry = new_entry(job, record, envelope, State.DEAD, arrival=record.offset)
            settle.bury_unknown(entry, settlement, self.place, now)
            settlement.finished.append(record.offset)
            self._tell(settlement, Happening.DEAD, job, now)
            return
        attempt = attempt_of(job, record, envelope, definition, lane=lane)
        if (ahead := self._ahead.pop(state_key, None)) is not None:
            reason = ahead[0].reason or "cancelled"
            settle.conclude(attempt, Cancelled(reason), settlement, self.place, now)
            return
        match verdict:
            case Verdict.ADMIT:
                self._active[state_key] = attempt
                self._join_lane(attempt)
            case Verdict.PARK:
                self._park(attempt, settlement, now)
            case Verdict.SCHEDULE:
                entry = new_entry(
                    job,
                    record,
                    envelope,
                    State.SCHEDULED,
                    arrival=record.offset,
                    due=envelope.not_before,
                )
                settlement.open(entry, None)
                settlement.finished.append(record.offset)
                self._tell(settlement, Happening.SCHEDULED, job, now, due=entry.due)
            case Verdict.EXPIRE:
                settle.conclude(attempt, Expired(), settlement, self.place, now)

    def _entry(self, state_key: bytes, settlement: Settlement) -> OpenEntry | None:
        return settlement.opens.get(state_key) or self.tables.open(state_key)

    def _bury_undecodable(self, record: Record, why: str, settlement: Settlement, now: int) -> None:
        key, value, headers = undecodable_letter(record, self.place.queue, why, now)
        settlement.letters.append(Append(self.place.dead, None, key, value, headers))
        settlement.finished.append(record.offset)
        settlement.events.append(
            LifecycleEvent(
                happening=Happening.UNDECODABLE,
                at=now,
                queue=self.place.queue,
                name="",
                id="",
                error=why,
            )
        )

    def _park(self, attempt: Attempt, settlement: Settlement, now: int) -> None:
        arrival = attempt.record.offset if attempt.entry is None else self.watermark.position - 1
        base = attempt.entry or new_entry(
            attempt.job, attempt.record, attempt.envelope, State.PARKED, arrival=arrival
        )
        entry = replace(
            base,
            state=State.PARKED,
            arrival=arrival,
            due=None,
            blocks=True,
            reason="an earlier job of its key is open",
        )
        settlement.open(entry, attempt.lane)
        if attempt.offset is not None:
            settlement.finished.append(attempt.offset)
        self._tell(settlement, Happening.PARKED, attempt.job, now)

    def _is_blocked(self, lane: bytes, settlement: Settlement) -> bool:
        return lane in settlement.blocking or self.tables.first_blocker(lane) is not None

    # -- lanes ---------------------------------------------------------------------------------

    def _join_lane(self, attempt: Attempt) -> None:
        if attempt.lane is None:
            self._start(attempt)
            return
        lane = self._lanes.setdefault(attempt.lane, Lane())
        if lane.running is None:
            lane.running = attempt
            self._start(attempt)
        else:
            lane.waiting.append(attempt)

    def _start(self, attempt: Attempt) -> None:
        attempt.submitted = True
        self._executor.submit(attempt, self._attempt_ended)

    def _leave_lane(self, attempt: Attempt, settlement: Settlement, now: int) -> None:
        """The next of its key may start as soon as an outcome is decided, unless it blocks."""
        if attempt.lane is None:
            return
        lane = self._lanes[attempt.lane]
        if attempt is not lane.running:
            lane.waiting.remove(attempt)
            return
        lane.running = None
        if attempt.lane in settlement.blocking or (
            attempt.entry is not None and self._is_blocked(attempt.lane, settlement)
        ):
            for follower in lane.waiting:
                del self._active[follower.state_key]
                self._park(follower, settlement, now)
            lane.waiting.clear()
        if lane.waiting and not self._draining:
            lane.running = lane.waiting.popleft()
            self._start(lane.running)
        elif not lane.waiting:
            del self._lanes[attempt.lane]

    def _start_next_open(self, lane: bytes) -> None:
        """Start the first open job of a key, if nothing of that key runs and its time has come."""
        if lane in self._lanes:
            return
        entry = self.tables.first_blocker(lane)
        if entry is None or entry.state is State.DEAD:
            return
        if entry.arrival >= self.watermark.position:
            self._early.add(lane)  # earlier jobs of the key may not have been read yet
            return
        if entry.due is not None and entry.due > self._clock.now():
            return
        self._start_open(entry, lane)

    def _start_open(self, entry: OpenEntry, lane: bytes | None) -> None:
        record = entry_record(entry)
        definition = self._registry.by_name(entry.job.name)
        if definition is None or entry.job.encode() in self._active:
            return
        attempt = attempt_of(entry.job, record, decode(record), definition, lane=lane, entry=entry)
        self._active[attempt.state_key] = attempt
        self._join_lane(attempt)

    # -- time ----------------------------------------------------------------------------------

    def _release_due(self, settlement: Settlement, now: int) -> None:
        for row, state_key in self.tables.due_from(self._due_cursor, now):
            if len(self._active) >= ADMITTED_MAX:
                return
            self._due_cursor = row + b"\x00"
            entry = self._entry(state_key, settlement)
            if entry is None or entry.due is None or entry.due > now:
                continue
            if state_key in self._active or state_key in settlement.closes:
                continue
            definition = self._registry.by_name(entry.job.name)
            strict = definition is None or definition.ordering == "strict"
            lane = entry.record_key if strict and entry.job.ordering_key is not None else None
            if lane is None:
                self._start_open(entry, None)
            elif entry.blocks:
                settlement.touched.add(lane)
            elif lane in self._lanes or self._is_blocked(lane, settlement):
                self._park_due(entry, lane, settlement, now)
            else:
                self._start_open(entry, lane)

    def _park_due(self, entry: OpenEntry, lane: bytes, settlement: Settlement, now: int) -> None:
        """Its time has come and its key is busy: it goes to the end of the key's queue."""
        parked = replace(
            entry,
            state=State.PARKED,
            due=None,
            blocks=True,
            arrival=self.watermark.position - 1,
            reason="an earlier job of its key is open",
        )
        settlement.open(parked, lane)
        self._tell(settlement, Happening.PARKED, entry.job, now)
        held = self._lanes.get(lane)
        if held is not None:  # arrivals that wait in hand stay in front of it, durably
            for follower in held.waiting:
                del self._active[follower.state_key]
                self._park(follower, settlement, now)
            held.waiting.clear()

    def _note_due(self, entry: OpenEntry) -> None:
        row = due_row(entry, entry.job.encode())
        if row is not None and row < self._due_cursor:
            self._due_cursor = row

    def _set_alarm(self) -> None:
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None
        if self._draining or len(self._active) >= ADMITTED_MAX:
            return
        due = self.tables.next_due(self._due_cursor)
        if due is None:
            return
        if due <= self._clock.now():
            self._on_alarm()
        else:
            self._alarm = self._clock.call_at(due, self._on_alarm)

    def _on_alarm(self) -> None:
        self._idle.clear()
        self._wake.set()

    # -- outcomes and commands -----------------------------------------------------------------

    def _conclude(
        self, attempt: Attempt, outcome: Outcome, settlement: Settlement, now: int
    ) -> None:
        if self._active.get(attempt.state_key) is not attempt:
            return
        del self._active[attempt.state_key]
        if attempt.cancelled is not None and not isinstance(outcome, Completed | Discarded):
            outcome = Cancelled(reason=attempt.cancelled)
        settle.conclude(attempt, outcome, settlement, self.place, now)
        self._leave_lane(attempt, settlement, now)

    def _note_commands(self, settlement: Settlement) -> None:
        """Record how far commands were obeyed: never past one whose job has not been read."""
        for state_key, (_, _, queue_end) in list(self._ahead.items()):
            if self.watermark.position >= queue_end:
                del self._ahead[state_key]  # there is no such job
        held = [offset for _, offset, _ in self._ahead.values()]
        obeyed = min([self._commands_end, *held])
        if obeyed > self.tables.applied(self.place.commands):
            settlement.commands_read = obeyed

    def _obey(
        self, command: Command, offset: int, queue_end: int, settlement: Settlement, now: int
    ) -> None:
        state_key = command.job.encode()
        attempt = self._active.get(state_key)
        entry = None if state_key in settlement.closes else self._entry(state_key, settlement)
        match command.kind:
            case "cancel" if attempt is not None:
                attempt.cancelled = command.reason or "cancelled"
                if attempt.submitted:
                    self._executor.cancel(attempt, attempt.cancelled)
                else:
                    self._conclude(attempt, Cancelled(attempt.cancelled), settlement, now)
            case "cancel" if entry is not None and entry.state is not State.DEAD:
                settle.cancel_open(entry, command.reason, settlement, self.place, now)
            case "cancel" if (
                entry is None
                and self.watermark.position < queue_end
                and self.tables.ledger(state_key) is None
            ):
                self._ahead[state_key] = (command, offset, queue_end)
            case "replay" if entry is not None and attempt is None:
                settle.replay(entry, command.generation, settlement, self.place, now)
            case _:
                logger.info("command %s for %s: nothing to do", command.kind, command.job.id)

    # -- what a predecessor left ---------------------------------------------------------------

    def _resume(self) -> None:
        """After recovery: repeat pending letters, and look at every lane with open jobs."""
        lanes = set()
        for entry in self.tables.entries():
            if entry.state is State.DEAD and entry.letter_pending:
                self._letters_due.append(entry)
            elif entry.blocks and (lane := lane_of(entry)) is not None:
                lanes.add(lane)
        for lane in lanes:
            self._start_next_open(lane)

    def _write_letters(self, settlement: Settlement) -> None:
        for entry in self._letters_due:
            settle.send_letter(entry, settlement, self.place)
        for entry in self._letters_sent:
            if entry.job.encode() not in settlement.opens.keys() | settlement.closes:
                settlement.open(replace(entry, letter_pending=False), None)
        self._letters_due, self._letters_sent = [], []

    def _tell(
        self,
        settlement: Settlement,
        happening: Happening,
        job: JobKey,
        now: int,
        due: int | None = None,
    ) -> None:
        settlement.events.append(
            LifecycleEvent(
                happening=happening,
                at=now,
                queue=self.place.queue,
                name=job.name,
                id=job.id,
                key=job.ordering_key,
                due=due,
            )
        )
