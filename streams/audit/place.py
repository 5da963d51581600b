"""The audit of one partition: takes what its topics have, and says what became of each job. Pure.

What is below the commit of the queue must be known to state, and what state has let go must be
over. The records come in the order retry, ledger, queue, each topic up to an end that was looked up
after the one before: a job that moves on meanwhile is then seen twice, and never not at all.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator
from dataclasses import replace
from typing import NamedTuple

from streams.audit.fault import (
    ENTRY_GONE,
    NEVER_ENQUEUED,
    NO_LETTER,
    NO_LETTER_OF_BYTES,
    NOWHERE,
    TAKEN_FROM_LEDGER,
    TAKEN_FROM_QUEUE,
    TAKEN_FROM_RETRY,
    Fault,
)
from streams.audit.life import Entry, Life
from streams.audit.lives import Lives
from streams.audit.rules import CLOCKS_MS, SKEW_MS, TOMBSTONES_MS, Rules
from streams.audit.said import FORWARD, LETTER, QUEUED, Queued, Said
from streams.audit.since import Ends, Row, Since
from streams.audit.tally import Tally
from streams.jobs.identity import JobKey
from streams.wire.letters import letter_key

UNTAKEN = "untaken"  # a record of the queue of which state says nothing yet
KEPT_MS = TOMBSTONES_MS - 60 * 60 * 1000  # so long tombstones are certainly there


class Wanted(NamedTuple):
    """A letter to look for.

    Of one that need not stand a tombstone is as good; so is a new one of the others, which goes
    before the end of a job that is discarded.
    """

    of: tuple[bytes, int]  # the job's key, and its generation
    fault: Fault  # what it is if there is no such letter
    must_stand: bool = False
    due: int | None = None  # when its definition wants something done with the job


class PlaceAudit:
    """One partition of one queue, or a slice of its identities.

    First `expect` what the last checkpoint left open, then take the records, then `questions`: if
    there are any and there was a checkpoint, take the ledger's older records of these, too. At last
    the letters that were asked for, and `judge`.
    """

    def __init__(
        self, *, queue: str, partition: int, rules: Rules, since: Since | None = None
    ) -> None:
        self.queue = queue
        self.partition = partition
        self.commit = 0  # below it everything is settled or taken over
        self.lives = Lives()
        self.tally = Tally()
        self.forwards: list[Row] = []
        self.ledger_read = 0  # records of it that count, of all slices
        self._since = since
        self._rules = rules
        self._faults: list[Fault] = []
        self._odd: list[Row] = []  # letters and forwards above the commit

    # -- taking --------------------------------------------------------------------------------

    def expect(self, row: Row) -> None:
        """What was not over at the last checkpoint."""
        if row.state in (LETTER, FORWARD):
            self._odd.append(row)
            return
        life = self.lives.begin(row.key, row.time)
        life.is_known = True
        life.offset, life.sent = row.offset, row.sent
        if row.state != UNTAKEN:
            life.entry = Entry(row.generation, row.run, row.state, row.has_letter, due=row.due)
            life.entry_at, life.was_open = row.entry_at, True
            life.stands = not is_old(self._since, self._rules)

    def stand(self, key: bytes, offset: int) -> None:
        """A record that the checkpoint had read is still in the retry topic."""
        for life in self.lives.of(key):
            if life.entry_at == offset:
                life.stands = True

    def take_retry(self, said: Said) -> None:
        """A record of the retry topic that counts."""
        self.lives.take_retry(said)

    def take_ledger(self, said: Said) -> None:
        """A record of the ledger that counts."""
        self.lives.take_ledger(said)

    def take_queued(self, queued: Queued) -> None:
        """A record of the queue."""
        kind, key, offset, sent, time, to, is_moved, replaces_dead = queued
        if kind == LETTER:
            self.tally.undecodable += 1
            self._odd.append(Row(state=LETTER, key=key, offset=offset, sent=sent))
            return
        if kind == FORWARD:
            self.tally.forwarded += 1
            self._odd.append(Row(state=FORWARD, key=key, time=time, offset=offset, to=to))
            return
        life = self.lives.begin(key, time)
        if life.is_known:
            self.tally.duplicates += 1
            return
        life.is_known = True
        life.offset, life.sent, life.is_moved = offset, sent, is_moved
        life.replaces_dead = replaces_dead
        self.tally.accepted += 1

    def take_older(self, said: Said, wanted: Container[bytes]) -> None:
        """A record of the ledger from before the checkpoint."""
        if said.key in wanted:
            self.lives.take_older(said)

    # -- judging -------------------------------------------------------------------------------

    def questions(self) -> dict[bytes, int]:
        """Identities of which the checkpoint has perhaps counted something that bears on them.

        With the time from which on that was written; 0 is any time.
        """
        commit, ended_to = self.commit, 0 if self._since is None else self._since.ended_to
        asked = dict.fromkeys(self.lives.removed, 0)
        for key, life in self.lives:
            if not life.is_known:
                asked[key] = 0
            elif not life.has_state:
                # Of names whose jobs leave no record a copy can't be told from another job.
                if life.offset < commit and not self._rules.is_unrecorded(key):
                    asked[key] = 0
            elif life.ending is not None and life.ending.ended <= ended_to and not life.was_open:
                # Perhaps it was written again as it was, and is a copy in the queue as well.
                asked.setdefault(key, life.ending.ended - CLOCKS_MS)
        return asked

    def letters_wanted(self) -> dict[bytes, Wanted]:
        """The letters to look for, by their keys."""
        commit, wanted = self.commit, dict[bytes, Wanted]()
        for key, life in self.lives:
            if life.entry is not None and life.entry.has_letter and not life.is_over:
                generation, fault = life.entry.generation, self._fault(NO_LETTER, key, life)
                wanted[letter_key(JobKey.decode(key), self.queue, generation)] = Wanted(
                    (key, generation), fault, must_stand=True, due=life.entry.due
                )
        for row in self._odd:
            if row.state == LETTER and row.offset < commit:
                fault = Fault(
                    why=NO_LETTER_OF_BYTES,
                    queue=self.queue,
                    partition=self.partition,
                    offset=row.offset,
                    key=row.key,
                )
                if row.sent > self._rules.now - TOMBSTONES_MS:
                    wanted[row.key] = Wanted((row.key, 0), fault)
        return wanted

    def judge(self, ends: Ends) -> list[Fault]:
        """Count what became of all of them; what is unaccounted for."""
        self._faults = [
            replace(fault, queue=self.queue, partition=self.partition)
            for fault in self.lives.faults
        ]
        for key, life in self.lives:
            self._judge(key, life, ends)
        self.forwards = [r for r in self._odd if r.state == FORWARD and r.offset < self.commit]
        return self._faults

    def rows(self) -> Iterator[Row]:
        """What is not over, for the next audit."""
        commit = self.commit
        yield from (row for row in self._odd if row.offset >= commit)
        for key, life in self.lives:
            if life.entry is not None and not life.is_over:
                entry = life.entry
                yield Row(
                    state=entry.state,
                    key=key,
                    time=life.time,
                    generation=entry.generation,
                    run=entry.run,
                    has_letter=entry.has_letter,
                    offset=life.offset,
                    sent=life.sent,
                    entry_at=life.entry_at,
                    due=entry.due,
                )
            elif not life.has_state and life.is_known and life.offset >= commit:
                yield Row(
                    state=UNTAKEN, key=key, time=life.time, offset=life.offset, sent=life.sent
                )

    def _judge(self, key: bytes, life: Life, ends: Ends) -> None:
        if not life.has_state:
            if life.is_known:
                self._judge_stateless(key, life, ends)
            return
        tally, rules = self.tally, self._rules
        was_counted = life.is_old
        if life.is_back:
            assert life.old is not None
            tally.note_over(life.old.state, -1)
            life.is_old = False
        if was_counted and life.is_known:  # a copy of what was over at the last checkpoint
            tally.accepted -= 1
            tally.duplicates += 1
        if not life.is_known and not was_counted and not self._accept_unseen(key, life, ends):
            return
        if life.is_over:
            assert life.ending is not None
            if life.removed is not None and not rules.may_be_trimmed(
                life.ending.ended, life.removed.timestamp
            ):
                if life.is_old:
                    tally.note_over(life.ending.state, -1)
                self._lose(TAKEN_FROM_LEDGER, key, life, life.removed.offset)
            elif not life.is_old:
                tally.note_over(life.ending.state)
        elif life.entry is not None and (not life.stands or life.entry_at < ends.retry_start):
            self._judge_gone(key, life, life.entry, ends)
        elif life.entry is not None:
            if life.entry.state == "dead":
                tally.dead += 1
            else:
                tally.note_pending(life.entry.state)
        elif life.closed is not None:
            self._judge_closed(key, life, ends)

    def _accept_unseen(self, key: bytes, life: Life, ends: Ends) -> bool:
        """State has it, and no record of the queue that was read: whether it counts."""
        since = self._since
        begin = 0 if since is None else since.queue
        if life.is_restored or ends.queue_first > begin:
            self.tally.accepted += 1  # its record was trimmed before it was read, or elsewhere
            return True
        if since is None or life.ending is None:
            self._faults.append(self._fault(NEVER_ENQUEUED, key, life))
        # Else a recovery has written again what is older than the checkpoint.
        return False

    def _judge_gone(self, key: bytes, life: Life, entry: Entry, ends: Ends) -> None:
        """It was open, and its entry is gone, without a tombstone that could be read."""
        since = 0 if self._since is None else self._since.at
        life.entry = None
        if is_old(self._since, self._rules) and self._rules.is_unrecorded(key):
            self.tally.unrecorded += 1
        elif self._is_overwritten(key, life, ends) or self._may_have_ended_at(since, ends):
            self.tally.forgotten += 1
        else:
            what = f"its entry was {entry.state}"
            self._lose(ENTRY_GONE, key, life, life.entry_at, detail=what)

    def _may_have_ended_at(self, time: int, ends: Ends) -> bool:
        """Whether what ended then may have been trimmed from the ledger."""
        return ends.ledger_start > 0 and self._rules.may_be_trimmed(time)

    def _is_overwritten(self, key: bytes, life: Life, ends: Ends) -> bool:
        """Whether its end may have been compacted, as its id came again and is on record."""
        if self._is_whole(ends):
            return False
        later = (each for each in self.lives.of(key) if each.time > life.time)
        return any(each.ending is not None or each.closed is not None for each in later)

    def _judge_closed(self, key: bytes, life: Life, ends: Ends) -> None:
        assert life.closed is not None
        entry, removal = life.closed
        if self._rules.is_unrecorded(key):
            self.tally.unrecorded += 1
        elif self._is_overwritten(key, life, ends) or self._may_have_ended_at(
            removal.timestamp, ends
        ):
            self.tally.forgotten += 1
        else:
            what = f"its entry was {entry.state}"
            self._lose(TAKEN_FROM_RETRY, key, life, removal.offset, detail=what)

    def _judge_stateless(self, key: bytes, life: Life, ends: Ends) -> None:
        """Its record was in the queue, and that is all."""
        tally, rules = self.tally, self._rules
        if life.offset >= self.commit:
            if life.offset < ends.queue_start:
                self._lose(TAKEN_FROM_QUEUE, key, life, life.offset)
            else:
                tally.note_pending(QUEUED)
            return
        others = [each for each in self.lives.of(key) if each is not life and each.has_state]
        if any(self._covers(other, life, key) for other in others):
            tally.accepted -= 1
            tally.duplicates += 1
        elif self._is_overwritten(key, life, ends):
            tally.forgotten += 1  # it came first
        elif rules.is_unrecorded(key):
            tally.unrecorded += 1
        elif self._may_have_ended_at((life.sent or life.time) - rules.unique_for_of(key), ends):
            tally.forgotten += 1
        elif life.offset < ends.queue_start and self._since is not None:
            self._lose(TAKEN_FROM_QUEUE, key, life, life.offset)
        else:
            self._lose(NOWHERE, key, life, life.offset)

    def _covers(self, other: Life, copy: Life, key: bytes) -> bool:
        """Whether a record was dropped, as it is a copy of a job that was known."""
        if 0 <= copy.offset < other.offset:
            return False  # it came first
        if copy.time <= other.time or other.entry is not None:
            return True
        if copy.is_moved and other.ending is not None and other.ending.state != "completed":
            return False  # it came back, and its end here was none
        if copy.replaces_dead and other.ending is not None and other.ending.is_replaced:
            return False  # it, or one like it, has its place
        if other.ending is None:
            return True  # it was open for some time, and it is told below what became of that
        until = max(other.ending.covers, other.ending.ended + self._rules.unique_for_of(key))
        # By its sender's clock it may be later than it was: it came before that end.
        return copy.time < until + SKEW_MS or 0 < copy.sent < other.ending.ended

    def _is_whole(self, ends: Ends) -> bool:
        """Whether nothing of the ledger was compacted in what was read of it."""
        begin = 0 if self._since is None else self._since.ledger
        return ends.ledger_start <= begin and self.ledger_read == ends.ledger - begin

    def _lose(
        self,
        why: str,
        key: bytes,
        life: Life,
        offset: int,
        detail: str = "",
    ) -> None:
        self.tally.unaccounted += 1
        self._faults.append(self._fault(why, key, life, offset, detail))

    def _fault(
        self, why: str, key: bytes, life: Life, offset: int | None = None, detail: str = ""
    ) -> Fault:
        return Fault(
            why=why,
            queue=self.queue,
            partition=self.partition,
            key=key,
            offset=life.offset if offset is None else offset,
            detail=detail,
        )


def is_old(since: Since | None, rules: Rules) -> bool:
    """Whether tombstones may be gone that were written after this."""
    return since is not None and since.at < rules.now - KEPT_MS


def unseen(since: Since | None, ends: Ends) -> int:
    """How many offsets of the queue no audit has read."""
    return max(0, ends.queue_first - (0 if since is None else since.queue))


def by_target(forwards: Iterable[Row]) -> dict[int, dict[bytes, Row]]:
    """What was forwarded, by the partition where it must be."""
    found: dict[int, dict[bytes, Row]] = {}
    for row in forwards:
        found.setdefault(row.to, {})[row.key] = row
    return found
