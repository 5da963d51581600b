"""The journey of a batch through one partition of a queue: start reading here.

One task works in turns: conclude what ended, obey commands, release what is due, admit what
arrived, take over what runs long, and settle all of it in one go. State is only read between
settles, so a turn always sees everything that was decided before it. What needs no write does not
wait for a turn: an arrival that can start at once, the next job of a key whose last one ended. So
turns need not follow each other at once: what ends shortly after one is settled together.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from streams.errors import AppendFailed
from streams.jobs.lifecycle import Listener
from streams.jobs.outcome import Completed, Discarded, Expired, Outcome
from streams.jobs.registry import Registry
from streams.wire.commands import Command
from streams.wire.envelope import Record
from streams.wire.state import OpenEntry
from streams.worker.attempt import Attempt
from streams.worker.callbacks import Callbacks
from streams.worker.commands import Commands
from streams.worker.dead_hooks import with_letter_sent
from streams.worker.foreseen import Foreseen
from streams.worker.gate import Gate
from streams.worker.hand import Hand
from streams.worker.intake import Intake
from streams.worker.noted import Noted
from streams.worker.openings import BYTES_MAX, Openings
from streams.worker.outcomes import Outcomes
from streams.worker.owned import Owned
from streams.worker.ports import Alarm, Clock, Executor, Log, Source
from streams.worker.revivals import Revivals
from streams.worker.settlement import Place, Settlement
from streams.worker.suspects import Suspicion
from streams.worker.tables import Tables
from streams.worker.takeover import TakeOvers
from streams.worker.watermark import Watermark

logger = logging.getLogger(__name__)

ADMITTED_MAX = 5_000  # jobs in hand for a partition; past it the queue is held back
HELD_MAX = 100_000  # offsets between the commit and the read position
ARRIVED_MAX = 2  # batches that wait for their turn
# Entries that arrivals may make in a turn, and arrivals looked at before that is asked: what many
# delayed jobs are while they are written is much more than what they are in memory afterwards.
OPENED_AT_ONCE = 1_000
COMMIT_MS = 500  # how often a commit is kept in state
SUMS_MS = 60_000  # how often a copy of the sums is, while anything happens
GATHER_MS = 20  # from one turn on, in which what ends is gathered for the next one
_OVER: Final = (Completed, Discarded, Expired)  # whatever is decided next
RETRY_PAUSES_MS = (100, 500, 2_000, 5_000)  # between tries of a settle that failed


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """What the open table of a partition may hold before its queue is held back."""

    entries: int = 2_000_000
    bytes: int = 2 * 1024 * 1024 * 1024


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
        suspicion: Suspicion,
        bounds: Bounds | None = None,
        gather_ms: int = GATHER_MS,
    ) -> None:
        self.place = place
        self.watermark = Watermark(start)
        self.tables = tables
        self._log = Gate(log)
        self._source = source
        self._clock = clock
        self._notify = notify
        self._on_failure = on_failure
        self._bounds = bounds or Bounds()
        self._registry = registry
        self.hand = Hand(executor, self._attempt_ended, self, self)
        owned = Owned(
            place=place,
            registry=registry,
            tables=tables,
            watermark=self.watermark,
            hand=self.hand,
            suspicion=suspicion,
        )
        self._suspects = suspicion.suspects
        self._queue_end = owned.queue_end
        self._outcomes = Outcomes(owned)
        callbacks = Callbacks(owned)
        self._commands = Commands(owned, self._outcomes, callbacks)
        self._openings = Openings(owned, callbacks, self._commands.purges)
        self._revivals = Revivals(owned)
        self._take_overs = TakeOvers(owned)
        self._noted = Noted(owned, self._take_overs)
        self._intake = Intake(owned, self._commands, self._take_overs, callbacks)
        self._arrived: deque[Sequence[Record]] = deque()
        self._delivered = start  # the offset behind the last record of what arrived
        self._writing: Settlement | None = None  # the turn that is being written
        self._is_refused = False  # that write failed, and is to be tried again
        self._letters_sent: list[OpenEntry] = []  # dead, and their letter is durable
        self._kept = start  # the commit that is kept in state
        self._kept_at = 0
        self._sums_kept_at = 0
        # All that is written under a lower one from now on is void.
        self._epoch = max(tables.epoch(place.retry), tables.epoch(place.ledger)) + 1
        self._commands_first = 0  # nothing starts before those below this offset are obeyed
        self._must_inspect = False
        self._is_marked = False  # in state, as being at work
        self._alarm: Alarm | None = None
        self._alarm_at = 0
        self._gathered: Alarm | None = None  # when what has ended meanwhile is settled
        self._gather_ms = gather_ms
        self._turned_at = 0
        self._wake = asyncio.Event()
        self._idle = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._draining = False
        self._held = False  # drained: nothing is decided until the partition's fate is known
        self._has_failed = False

    # -- its life: start, turns, drain, stop ---------------------------------------------------

    def start(self) -> None:
        """Take turns until stopped; the first ones resume what is open."""
        self._source.release(self._kept)
        self._task = asyncio.create_task(self._run(), name=f"pipeline-{self.place.topic}")
        self._wake.set()

    def foresee(self, foreseen: Foreseen) -> None:
        """Know before the start what was commanded; as commands they come later."""
        for command, offset in foreseen.purges:
            self._commands.purges.foresee(command, offset)
        self._commands_first = foreseen.until

    async def drain(self) -> bool:
        """Stop starting jobs, and wait until what has ended is settled and its commit kept.

        What ends afterwards is held until `resume`: by then the partition may be another's. A
        drain that is cancelled holds from that time on; another one that waits beside it answers
        False then.
        """
        self._draining = True
        self.hand.paused = True
        self._stir()
        try:
            while not self._is_drained:
                self._stir()
                await self._idle.wait()
        except asyncio.CancelledError:
            self._log.close()  # a settle that is half way must not go on either
            self._idle.set()  # whoever waits beside us must not wait for it
            raise
        finally:
            self._held = True
        return self._log.is_open

    @property
    def _is_drained(self) -> bool:
        if self._held or self._has_failed:
            return True
        return not self._outcomes and self._idle.is_set()

    def resume(self, *, ends: bool = False) -> None:
        """Go on after a drain: the partition came back; `ends`: to settle what ends, no more."""
        self._draining = ends
        self._held = False
        self._log.open()
        if not ends and not self._has_failed:
            self.hand.resume()
        self._stir()

    async def stop(self) -> None:
        """Give the partition up; what still runs is interrupted and its outcome dropped."""
        for alarm in (self._alarm, self._gathered):
            if alarm is not None:
                alarm.cancel()
        for attempt in self.hand:
            self._suspects.ended(attempt.state_key)
        self.hand.abandon()
        self._noted.give_up()
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        self.tables.store.close()

    # -- what is told of it --------------------------------------------------------------------

    @property
    def running(self) -> int:
        """How many jobs are in hand: attempts that run, or wait for a slot or for their key."""
        return len(self.hand)

    @property
    def is_draining(self) -> bool:
        """Whether it is being given up, perhaps."""
        return self._draining

    @property
    def kept_commit(self) -> int:
        """The commit that is kept in state: everything below it is settled or taken over."""
        return self._kept

    @property
    def commands_taken(self) -> int:
        """The offset behind the last command that was obeyed, or has begun; 0: none yet."""
        return self._commands.taken

    @property
    def position(self) -> int:
        """The offset behind the last record that was delivered; at first where it begins."""
        return max(self._delivered, self.watermark.position)

    @property
    def wants_more(self) -> bool:
        """Whether the queue may be read further.

        Reading up to the highest arrival in the open table is never held back: what is open may
        start only once reading has passed it.
        """
        if self._draining or len(self._arrived) >= ARRIVED_MAX:
            return False
        counts = self.tables.counts
        if self.watermark.position < counts.arrivals_end:
            return True
        return (
            self._has_room
            and self.watermark.held < HELD_MAX
            and counts.bounded < self._bounds.entries
            and counts.bounded_bytes < self._bounds.bytes
        )

    def told_running(self) -> list[dict[str, Any]]:
        """The attempts that run, for those who look at the worker; times in ms since the epoch."""
        return [
            {
                "queue": self.place.queue,
                "name": attempt.job.name,
                "id": attempt.job.id,
                "key": attempt.job.ordering_key,
                "attempt": attempt.number,
                "since": attempt.started,
            }
            for attempt in self.hand
            if attempt.started is not None
        ]

    def oldest_waiting_ms(self, now: int) -> int:
        """For how long the oldest job in hand that has not started could have run; 0: none."""
        waiting = [a.due or a.envelope.time for a in self.hand if a.started is None]
        waiting += [records[0].timestamp for records in self._arrived]
        return max(0, now - min(waiting)) if waiting else 0

    @property
    def active(self) -> int:
        """How many attempts run."""
        return sum(attempt.started is not None for attempt in self.hand)

    @property
    def quiet(self) -> bool:
        """Nothing in hand that goes on before time passes, and nothing to decide."""
        is_waiting = self._arrived or self._outcomes or self._commands
        return not is_waiting and self._idle.is_set() and all(map(_waits_for_time, self.hand))

    # -- what reaches it -----------------------------------------------------------------------

    def deliver(self, records: Sequence[Record]) -> None:
        """Take a fetched batch; it is never refused."""
        self._delivered = max(self._delivered, records[-1].offset + 1)
        left = self._admit_at_once(records)
        if left:
            self._arrived.append(left)
        if left or self._openings.has_work:  # what is open may have waited for this to be read
            self._stir()
        elif self._writing is None:  # else all that is done after it
            if self._outcomes:
                self._settle_soon()
            # To look at what has just been admitted; what comes earlier stays, so that jobs which
            # arrive again and again do not put the look off for ever.
            self._set_alarm(may_be_later=False)

    def _admit_at_once(self, records: Sequence[Record]) -> Sequence[Record]:
        """Start what can start without a write; what can't waits for its turn, as all behind it.

        So a job does not wait for a write that has nothing to do with it.
        """
        if not self._is_marked or self._is_refused or self._has_failed:
            return records
        if self._arrived or self._draining or self._held or self._knows_too_little:
            return records
        now = self._clock.now()
        pending = self._writing or Settlement()  # what is decided is in state, or in this
        for at, record in enumerate(records):
            if not self._has_room or not self._intake.admit_at_once(record, pending, now):
                return records[at:]
        return ()

    def command(self, commands: Sequence[tuple[Command, int]], queue_end: int) -> None:
        """Take commands, each with its offset, which came before the queue's `queue_end`."""
        for command, offset in commands:
            self._commands.arrive(command, offset, queue_end)
        self._stir()

    def inspect(self) -> None:
        """Look for what earlier owners wrote late; with work at hand this happens by itself."""
        self._must_inspect = True
        self._stir()

    def let_in(self, limit: str, count: int) -> None:
        """Bring up to so many of those that a limit holds into hand: there is room for them."""
        self._openings.let_in(limit, count)
        self._stir()

    def revive(self, name: str) -> None:
        """Replay dead jobs of a name, as far as their policy says so: its breaker has closed."""
        self._revivals.begin(name, self._clock.now())
        self._stir()

    def hear(self, attempt: Attempt) -> None:
        """There is news in an attempt's notebook: of its handler's progress, or its log."""
        self._noted.hear(attempt, self._clock.now())
        if self._writing is None and not self._noted.is_given_up:
            self._set_alarm(may_be_later=False)

    def keep_checkpoint(self, attempt: Attempt) -> asyncio.Future[None]:
        """Write an attempt's notebook in the next turn; its handler waits until that is durable."""
        kept = self._noted.keep(attempt)
        self._stir()
        return kept

    def _attempt_ended(self, attempt: Attempt, outcome: Outcome) -> None:
        self._outcomes.arrive(attempt, outcome)
        if attempt.notebook is not None:
            self._noted.forget(attempt)
        if isinstance(outcome, _OVER) and not self._is_refused:
            self.hand.pass_on(attempt)
        if self._writing is None:  # else they are looked at after it
            self._settle_soon()

    def _settle_soon(self) -> None:
        """Take a turn for what has ended, but not too soon after the last one.

        A write for each few jobs would cost this worker and the broker more than the jobs do.
        """
        at = self._turned_at + self._gather_ms
        gathers = self._turned_at <= self._clock.now() < at  # not if the clock was set back
        if self._draining or self._held or self._arrived or not gathers:
            self._stir()
            return
        self._idle.clear()
        if self._gathered is None:
            self._gathered = self._clock.call_at(at, self._stir)

    def _stir(self) -> None:
        self._idle.clear()
        self._wake.set()

    # -- turns ---------------------------------------------------------------------------------

    async def _run(self) -> None:
        try:
            await self._take_turns()
        except Exception as error:
            # What was decided in this turn is unknown: only a restart from durable state is right.
            logger.exception("%s/%d failed", self.place.topic, self.place.partition)
            self._has_failed = True
            self._writing, self.hand.paused = None, True  # nothing could be settled any more
            self._idle.set()  # nobody must wait for its turns any more
            self._on_failure(error)

    async def _take_turns(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            if self._gathered is not None:
                self._gathered.cancel()
                self._gathered = None
            self._turned_at = self._clock.now()
            settlement = self._turn(self._turned_at)
            if settlement:
                await self._settle(settlement)
            if self._has_work:
                self._wake.set()
            elif self._outcomes and not self._held:
                self._settle_soon()
            self._set_alarm()
            if not self._wake.is_set() and self._gathered is None:
                self._idle.set()

    def _turn(self, now: int) -> Settlement:
        settlement = Settlement(at=now, epoch=self._epoch)
        if self._held:
            return settlement
        if not self._is_marked and not self._draining:
            # Before anything starts: who comes after us must know that we had begun.
            settlement.at_work = True
            return settlement
        settlement.inspects, self._must_inspect = self._must_inspect, False
        self._keep_commit(settlement, now)
        self._outcomes.conclude_all(settlement, now)
        if not self._draining:
            # Before others begin: what this turn has written so far is not in the table yet.
            self._commands.purges.go_on(settlement, now)
        self._commands.obey_all(settlement, now)
        self._note_sent_letters(settlement)
        if self._draining:
            self._take_overs.take_over_rated(settlement, now)
        elif not self._knows_too_little:
            self._revivals.release(settlement, now)
            self._openings.release(settlement, now)
            self._admit(settlement, now)
            self._take_overs.take_over_long(settlement, now)
            self._noted.keep_all(settlement, now)
        if not self._draining:
            return settlement
        if self._is_marked and not settlement and self._kept == self.watermark.value:
            settlement.at_work = False  # all that ended is settled
            settlement.keeps_sums = True
            settlement.inspects = True
        return settlement

    def _admit(self, settlement: Settlement, now: int) -> None:
        """Admit what arrived, as much of it as a turn may take."""
        while self._arrived and self._has_room and len(settlement.opens) < OPENED_AT_ONCE:
            records = self._arrived.popleft()
            for at, record in enumerate(records[:OPENED_AT_ONCE]):
                if not self._intake.admit(record, settlement, now):
                    self._arrived.appendleft(records[at:])
                    return
            if len(records) > OPENED_AT_ONCE:
                self._arrived.appendleft(records[OPENED_AT_ONCE:])

    @property
    def _knows_too_little(self) -> bool:
        """Whether a job could start that was cancelled, or put off, while nobody was here."""
        return self._commands.taken < self._commands_first

    @property
    def _has_room(self) -> bool:
        hand = self.hand
        return len(hand) - hand.opened < ADMITTED_MAX and hand.bytes < BYTES_MAX

    @property
    def _has_work(self) -> bool:
        """Whether the next turn has something to do, though nothing happens until then."""
        if self._held:
            return False
        if self._letters_sent or self._commands:
            return True
        if self._draining:
            return bool(self._outcomes) or self._is_marked or self._kept < self.watermark.value
        if self._knows_too_little:
            return not self._is_marked
        return (
            not self._is_marked
            or self._openings.has_work
            or self._revivals.has_work
            or self._commands.purges.has_work
            or bool(self._arrived and self._has_room)
            or bool(self._noted)
        )

    def _keep_commit(self, settlement: Settlement, now: int) -> None:
        """Keep the commit in state before it is told to Kafka, which may forget it one day."""
        watermark = self.watermark.value
        if watermark > self._kept and (self._draining or now >= self._kept_at + COMMIT_MS):
            settlement.committed = watermark
            if now >= self._sums_kept_at + SUMS_MS or now < self._sums_kept_at:
                settlement.keeps_sums, self._sums_kept_at = True, now

    async def _settle(self, settlement: Settlement) -> None:
        """Write, then acknowledge; a write that fails stops this partition until it succeeds."""
        tries = 0
        if self._is_marked:
            self._writing = settlement
        while True:
            try:
                await settlement.write(self._log, self.tables, self.place)
                break
            except (AppendFailed, OSError) as error:
                self._writing, self._is_refused = None, True  # nothing more starts until then
                pause = RETRY_PAUSES_MS[min(tries, len(RETRY_PAUSES_MS) - 1)]
                tries += 1
                logger.warning(
                    "settling %s/%d failed: %s; trying again in %d ms",
                    self.place.topic,
                    self.place.partition,
                    error,
                    pause,
                )
                await self._pause(pause)
        self._writing, self._is_refused = None, False
        for offset in settlement.finished:
            self.watermark.finish(offset)
        self._take_overs.settled(settlement.finished)
        if settlement.at_work is not None:
            self._is_marked = settlement.at_work
        if settlement.committed is not None:
            self._kept, self._kept_at = settlement.committed, self._clock.now()
            self._source.release(self._kept)
        if settlement.queue_end is not None:
            self._queue_end.note(settlement.at, settlement.queue_end)
        for awaited in settlement.awaited:
            if not awaited.done():
                awaited.set_result(None)
        for event in settlement.events:
            self._notify(event)
        for entry in settlement.opens.values():
            self._openings.note(entry)
        for attempt in settlement.left:  # after the notes: what is known of its key may go with it
            self.hand.leave(attempt)
        self._openings.touch(settlement.touched)
        self._letters_sent += settlement.pending_letters

    async def _pause(self, ms: int) -> None:
        over = asyncio.Event()
        self._clock.call_at(self._clock.now() + ms, over.set)
        await over.wait()

    def _note_sent_letters(self, settlement: Settlement) -> None:
        for entry in self._letters_sent:
            if entry.job.encode() not in settlement.opens.keys() | settlement.closes:
                definition = self._registry.by_name(entry.job.name)
                settlement.open(with_letter_sent(entry, definition, settlement.at), None)
        self._letters_sent = []

    def _set_alarm(self, *, may_be_later: bool = True) -> None:
        """Take a turn when the next thing is due, if nothing happens before."""
        due = self._next_due()
        if not may_be_later and self._alarm is not None and (due is None or self._alarm_at <= due):
            return
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None
        if due is None:
            return
        if due <= self._clock.now():
            self._stir()
        else:
            self._alarm, self._alarm_at = self._clock.call_at(due, self._stir), due

    def _next_due(self) -> int | None:
        if self._draining or self._knows_too_little:  # what wakes it then is a command
            return None
        now = self._clock.now()
        times = [
            self._openings.next_due(now),
            self._take_overs.next_look(now),
            self._noted.next_due(),
        ]
        if self._kept < self.watermark.value:
            times.append(self._kept_at + COMMIT_MS)
        return min((time for time in times if time is not None), default=None)


def _waits_for_time(attempt: Attempt) -> bool:
    """Whether a rate holds it, it is behind one of its key, or it waits for others like it."""
    if attempt.group is not None and attempt.group.is_gathering:
        return True
    is_held = attempt.held_by is not None and attempt.definition.rate_limit is not None
    return is_held or not attempt.submitted
