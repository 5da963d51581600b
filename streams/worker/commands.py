"""Obeys what operators and services ask of one partition's jobs."""

from __future__ import annotations

import logging
from collections import deque
from dataclasses import replace

from streams.errors import UndecodableRecord
from streams.jobs.identity import JobKey
from streams.jobs.lifecycle import Happening
from streams.jobs.outcome import Cancelled
from streams.jobs.single import Kind
from streams.jobs.states import State
from streams.wire.commands import Command
from streams.wire.envelope import check_size, decode
from streams.wire.state import OpenEntry, is_debounced
from streams.wire.topics import MAX_PAYLOAD_BYTES
from streams.worker import open_jobs
from streams.worker.admission import entry_record, put_off, waiting_entry
from streams.worker.attempt import Attempt
from streams.worker.callbacks import Callbacks
from streams.worker.ending import Ending
from streams.worker.outcomes import Outcomes
from streams.worker.owned import Owned
from streams.worker.purge import Purges
from streams.worker.second_chances import replay_dead, send_on, with_payload
from streams.worker.settlement import Settlement

logger = logging.getLogger(__name__)

_REPEATED = ("cancel", "reschedule")
_TIMED = (State.SCHEDULED, State.RETRYING, State.SLEEPING)  # these wait for a time


class Commands:
    """Commands are taken in order, and recorded as obeyed once their effects are durable.

    A cancel or another time may come before its job has been read. It is kept until reading has
    passed the queue's end as it was at the command, and so long the record stays before it.
    """

    def __init__(self, owned: Owned, outcomes: Outcomes, callbacks: Callbacks) -> None:
        self._owned = owned
        self._outcomes = outcomes
        self._callbacks = callbacks
        self._ending = Ending(owned.hand)
        self.purges = Purges(owned, outcomes, self._ending)
        self._arrived: deque[tuple[Command, int, int]] = deque()
        self._ahead: dict[bytes, tuple[Command, int, int]] = {}
        self.taken = 0  # the offset after the last command that was taken

    def __bool__(self) -> bool:
        return bool(self._arrived)

    @property
    def are_pending(self) -> bool:
        """Whether one waits for its turn, or for its job."""
        return bool(self._arrived or self._ahead or self._callbacks or self.purges)

    def arrive(self, command: Command, offset: int, queue_end: int) -> None:
        """Take the command read at `offset` of its topic, when the queue ended at `queue_end`."""
        self._arrived.append((command, offset, queue_end))

    def cancelled_ahead(self, job: JobKey, offset: int, sent: int) -> str | None:
        """The reason, if the job at `offset` of the queue was cancelled before it was read.

        `sent` is its time.
        """
        found = self._ahead_of("cancel", job, offset)
        if found is None:
            return self.purges.reason_for(job, offset, sent)
        return found[0].reason or "cancelled"

    def rescheduled_ahead(self, job: JobKey, offset: int) -> tuple[int, int] | None:
        """Its time and the command's offset, if that was said before the job had been read.

        The command is not kept any longer: its time is to be written.
        """
        found = self._ahead_of("reschedule", job, offset)
        return None if found is None else (found[0].due, found[1])

    def _ahead_of(self, kind: str, job: JobKey, offset: int) -> tuple[Command, int, int] | None:
        state_key = job.encode()
        found = self._ahead.get(state_key)
        if found is None or found[0].kind != kind or offset >= found[2]:
            return None
        del self._ahead[state_key]
        return found

    def obey_all(self, settlement: Settlement, now: int) -> None:
        """Obey what arrived, and note how far that is."""
        owned = self._owned
        while self._arrived:
            command, offset, queue_end = self._arrived.popleft()
            if offset >= owned.tables.applied(owned.place.commands):
                self.taken = offset + 1
                self._obey(command, offset, queue_end, settlement, now)
        self._callbacks.take_reports(settlement, now)
        self._note(settlement)

    def _note(self, settlement: Settlement) -> None:
        if not self.taken:
            return
        owned = self._owned
        for state_key, (_, _, queue_end) in list(self._ahead.items()):
            if owned.watermark.position >= queue_end:
                del self._ahead[state_key]  # there is no such job
        self._callbacks.forget_passed(owned.watermark.position)
        held = [offset for _, offset, _ in self._ahead.values()]
        kept = (*held, *self._callbacks.kept, *self.purges.kept, *self._ending.kept())
        obeyed = min([self.taken, *kept])
        if obeyed > owned.tables.applied(owned.place.commands):
            settlement.commands_read = obeyed

    def _obey(
        self, command: Command, offset: int, queue_end: int, settlement: Settlement, now: int
    ) -> None:
        owned = self._owned
        if command.kind == "purge":
            self.purges.begin(command, offset, settlement, now)
            return
        state_key = command.job.encode()
        attempt = owned.hand.get(state_key)
        entry = owned.entry(state_key, settlement)
        if entry is not None and entry.commanded >= offset and command.kind in _REPEATED:
            return  # it came before another one, and a crash repeats it after that
        match command.kind:
            case "cancel" if attempt is not None:
                reason = command.reason or "cancelled"
                if attempt.submitted:
                    self._ending.tell(attempt, reason, offset)
                else:
                    self._outcomes.conclude(attempt, Cancelled(reason), settlement, now)
            case "cancel" if entry is not None and entry.state is not State.DEAD:
                unique_for_ms = owned.unique_for_ms(command.job)
                open_jobs.cancel(entry, command.reason, settlement, owned.place, now, unique_for_ms)
            case "cancel" if entry is None and owned.watermark.position < queue_end:
                # Not read yet, or read and over: then what is enqueued again is meant.
                self._ahead[state_key] = (command, offset, queue_end)
            case "reschedule" if attempt is not None:
                self._put_off(attempt, command, offset, settlement, now)
            case "reschedule" if attempt is None and entry is not None:
                # Else a purge that comes to it later would take it for one that was meant to stay.
                if not self.purges.end_before_start(entry, settlement, now):
                    self._reschedule(command, entry, offset, settlement)
            case "reschedule" if attempt is None and owned.watermark.position < queue_end:
                before = self._ahead.get(state_key)
                if before is None or before[0].kind == "reschedule":  # a cancel stays one
                    self._ahead[state_key] = (command, offset, queue_end)
            case "report":
                self._callbacks.report(command, offset, queue_end)
            case "replay" | "discard" | "move":
                self._resolve(command, entry, offset, settlement, now)
            case "restore" if attempt is None and entry is None and command.entry is not None:
                self._restore(command.entry, offset, settlement, now)
            case _:
                logger.info("command %s for %s: nothing to do", command.kind, command.job.id)

    def _put_off(
        self, attempt: Attempt, command: Command, offset: int, settlement: Settlement, now: int
    ) -> None:
        """Give a job that waits for its turn a time, unless it has begun by now."""
        single, hand = attempt.single, self._owned.hand
        is_settled = attempt.lane is not None and attempt.lane in settlement.passed
        is_debounced = single is not None and single.kind is Kind.DEBOUNCE
        if attempt.started is not None or is_settled or is_debounced or not hand.take_back(attempt):
            logger.info("reschedule of %s: it runs", attempt.job.id)
            return
        is_keyed = attempt.lane is not None
        entry = put_off(waiting_entry(attempt), command.due, offset, is_keyed=is_keyed)
        self._outcomes.put_off(attempt, entry, settlement, now)
        self._owned.tell(settlement, Happening.SCHEDULED, attempt.job, now, due=command.due)

    def _reschedule(
        self, command: Command, entry: OpenEntry, offset: int, settlement: Settlement
    ) -> None:
        """Give a job that waits in the open table another time."""
        waits_for_time = entry.state in _TIMED and entry.due is not None
        waits_for_turn = entry.state is State.PARKED and entry.unknown_since is None
        if not (waits_for_time or waits_for_turn) or is_debounced(entry):
            logger.info("reschedule of %s: it is %s", entry.job.id, entry.told)
            return
        lane = self._owned.lane_of_entry(entry)
        again = put_off(entry, command.due, offset, is_keyed=lane is not None)
        settlement.open(again, lane if entry.blocks else None)

    def _resolve(
        self,
        command: Command,
        entry: OpenEntry | None,
        offset: int,
        settlement: Settlement,
        now: int,
    ) -> None:
        """Replay, discard or move a dead job; a letter that is void by now is removed.

        It may be void because a crash came between the entry of a replay and its letter.
        """
        owned = self._owned
        is_valid = (
            entry is not None
            and entry.state is State.DEAD
            and entry.generation == command.generation
        )
        if entry is None or not is_valid:
            open_jobs.remove_letter(command.job, command.generation, settlement, owned.place)
            return
        if len(command.payload or b"") > MAX_PAYLOAD_BYTES:
            logger.warning("%s of %s: its payload is too large", command.kind, command.job.id)
            return
        entry = replace(entry, commanded=offset)
        if command.kind == "discard":
            unique_for_ms = owned.unique_for_ms(command.job)
            open_jobs.discard(entry, command.reason, settlement, owned.place, now, unique_for_ms)
        elif command.kind == "move":
            # Into a queue that is not there what it writes would be refused for ever.
            is_there = (command.queue, command.name) == (owned.place.queue, entry.job.name)
            if command.queue in owned.place.queues and not is_there:
                send_on(owned, entry, command, settlement, now)
            else:
                logger.warning("move of %s: not to queue %r", command.job.id, command.queue)
        else:
            if command.payload is not None:
                entry = with_payload(entry, command.payload)
            replay_dead(owned, entry, settlement, now)

    def _restore(self, entry: OpenEntry, offset: int, settlement: Settlement, now: int) -> None:
        """Make a dead job anew, as it was exported, unless it has come further since."""
        owned = self._owned
        state_key = entry.job.encode()
        ledger = settlement.ledgers.get(state_key) or owned.tables.ledger(state_key)
        if ledger is not None and (ledger.state is State.COMPLETED or ledger.time > entry.time):
            logger.info("restore of %s: it is %s", entry.job.id, ledger.state)
            return
        try:
            check_size(entry_record(entry))
            decode(entry_record(entry))
        except UndecodableRecord as error:
            logger.warning("restore of %s: %s", entry.job.id, error)
            return
        generation = entry.generation
        if ledger is not None:  # what is over in a generation stays so
            generation = max(generation, ledger.generation + 1)
        definition = owned.registry.by_name(entry.job.name)
        dead = replace(
            entry,
            state=State.DEAD,
            letter_pending=True,
            due=now,
            restored=now,
            generation=generation,
            # Nothing starts before reading has passed its arrival, and this one may be another
            # topic's; of a queue that had no job yet it is -1.
            arrival=min(entry.arrival, owned.watermark.position - 1),
            commanded=offset,
        )
        lane = owned.lane_of_entry(dead)
        halts = definition is not None and definition.on_dead == "halt" and lane is not None
        dead = replace(dead, blocks=halts)
        was_over = ledger is not None and ledger.time == entry.time
        settlement.restored.append(ledger.state if ledger is not None and was_over else None)
        open_jobs.restore(dead, lane if halts else None, settlement, owned.place)
