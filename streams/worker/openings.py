"""Starts what waits in the open table: what came due, what limits held, freed keys' first jobs."""

from __future__ import annotations

import heapq
from collections import OrderedDict
from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import islice

from streams.jobs.identity import JobKey
from streams.jobs.lifecycle import Happening
from streams.jobs.states import State
from streams.wire.envelope import decode
from streams.wire.state import OpenEntry, is_debounced
from streams.worker import open_jobs
from streams.worker.admission import attempt_of, entry_record
from streams.worker.callbacks import Callbacks
from streams.worker.dead_hooks import UNKNOWN_JOB, hook_of
from streams.worker.due_rows import LATE_MS, DueRows
from streams.worker.owned import Owned
from streams.worker.parking import REASON, park_attempts, park_entry
from streams.worker.purge import Purges
from streams.worker.second_chances import by_policy
from streams.worker.settlement import Settlement
from streams.worker.suspects import is_given_up
from streams.worker.tables import due_row, held_row

OPENED_MAX = 10_000  # jobs in hand that came from the open table, for a partition
BYTES_MAX = 64 * 1024 * 1024  # of payloads in hand, for a partition
SWEPT_AT_ONCE = 1_000  # keys looked at in a turn after a partition was opened
ALONG_MAX = 100  # parked jobs of one key in hand
DUE_AT_ONCE = 1_000  # entries looked at in a turn, however many came due at once
OVERDUE_MAX = 1_000  # jobs in hand that are long overdue, for a partition

SUSPECTS_LOOK_MS = 1_000
UNKNOWN_FOR_MS = 15 * 60 * 1000  # how long a job waits for a worker that knows its name
UNKNOWN_FIRST_LOOK_MS = 5_000


class Openings:
    """Looks at keys and due times; what is to be looked at is bounded, but for keys touched."""

    def __init__(self, owned: Owned, callbacks: Callbacks, purges: Purges) -> None:
        self._owned = owned
        self._callbacks = callbacks
        self._purges = purges
        # In order: a turn is the same again. A plain dict gets slow when emptied from its front.
        self._touched: OrderedDict[bytes, None] = OrderedDict()
        self._along: dict[bytes, int] = {}  # how many of a lane come along with the next one
        self._early: list[tuple[int, bytes]] = []  # (arrival, lane): reading has not passed it
        self._sweep: bytes | None = b""  # from which lane on to look, after opening
        self._due = DueRows()
        # The first and the last due row that wait for the queue to be read.
        self._unread: tuple[bytes, bytes] | None = None
        self._waiting_suspects: dict[bytes, None] = {}  # another one of this process runs
        self._let_in: dict[str, int] = {}  # by limit: how many that it holds may come into hand
        self._held_cursors: dict[str, bytes] = {}  # below it what a limit holds is in hand
        self._are_limits_known = False

    def touch(self, lanes: Iterable[bytes]) -> None:
        """Look at these keys in the next turn, in this order: something about them changed."""
        if self._owned.tables.counts.blocking:  # else nothing is open that could start
            has_lane = self._owned.hand.has_lane  # then the end of what runs touches it again
            self._touched.update({lane: None for lane in lanes if not has_lane(lane)})

    def note(self, entry: OpenEntry) -> None:
        """An entry was written: it may be due before all that was looked at."""
        if entry.state is not State.PARKED and entry.record_key is not None:
            self._along.pop(entry.record_key, None)
        if entry.held is not None:
            self._note_held(entry.held, entry.job, entry.arrival)
        if entry.due is not None:
            self._due.note(due_row(entry.due, entry.job.encode()))

    def _note_held(self, limit: str, job: JobKey, arrival: int) -> None:
        row = held_row(limit, arrival, job.encode())
        self._held_cursors[limit] = min(self._held_cursors.get(limit, row), row)
        definition = self._owned.registry.by_name(job.name)
        self._owned.hand.hold(limit, definition, job.ordering_key, self._owned.place.queue)

    def let_in(self, limit: str, count: int) -> None:
        """Bring up to so many of those that a limit holds into hand, in the next turn."""
        self._let_in[limit] = self._let_in.get(limit, 0) + count

    @property
    def has_work(self) -> bool:
        """Whether another turn would find something to look at, without anything happening."""
        return self._has_room and (
            bool(self._touched or self._let_in)
            or self._sweep is not None
            or self._has_passed_early
            or self._is_unread_read
            or not self._are_limits_known
        )

    def next_due(self, now: int) -> int | None:
        """When the next entry is due; None also while there is no room for it."""
        if not self._has_room:
            return None
        if self._due.behind is not None and self._has_room_for_overdue:
            return now
        due = self._owned.tables.next_due(self._due.cursor)
        if not self._waiting_suspects:
            return due
        look = now + SUSPECTS_LOOK_MS
        return look if due is None else min(due, look)

    def release(self, settlement: Settlement, now: int) -> None:
        """Start whatever may start."""
        self._release_due(settlement, now)
        self._bring_held(settlement, now)
        self._look_at_suspects(settlement, now)
        if self._owned.tables.counts.blocking:
            self._look_at_touched(settlement, now)
            self._look_at_early(settlement, now)
            self._look_at_swept(settlement, now)
        else:
            self._touched.clear()
            self._along.clear()
            self._early.clear()
            self._sweep = None

    @property
    def _has_room(self) -> bool:
        hand = self._owned.hand
        # Twice as much as arrivals may fill: due jobs never wait for the queue's to end.
        return hand.opened < OPENED_MAX and hand.bytes < 2 * BYTES_MAX

    @property
    def _has_room_for_overdue(self) -> bool:
        return self._has_room and self._owned.hand.overdue < OVERDUE_MAX

    @property
    def _has_passed_early(self) -> bool:
        return bool(self._early) and self._early[0][0] < self._owned.watermark.position

    @property
    def _is_unread_read(self) -> bool:
        owned = self._owned
        return self._unread is not None and owned.queue_end.is_read(owned.watermark.position)

    def _must_be_read_first(self, row: bytes, due: int, settlement: Settlement) -> bool:
        """Whether what was sent before a debounced job was due, and replaces it, may come still.

        After an outage, say. Its row is looked at again once the queue has been read so far.
        """
        owned = self._owned
        if owned.queue_end.is_known(due) and owned.queue_end.is_read(owned.watermark.position):
            return False
        settlement.asks_end = settlement.asks_end or not owned.queue_end.is_known(due)
        first, last = self._unread or (row, row)
        self._unread = min(first, row), max(last, row)
        return True

    def _bring_held(self, settlement: Settlement, now: int) -> None:
        """Let those have their turn again for whom a limit has room."""
        if not self._are_limits_known:
            self._are_limits_known = True
            for limit, state_key in self._owned.tables.limits():
                self._note_held(limit, JobKey.decode(state_key), 0)
        for limit in list(self._let_in):
            has_more = False
            rows = self._owned.tables.held_by(limit, self._held_cursors.get(limit, b""))
            for row, state_key in rows:
                if not self._let_in[limit] or not self._has_room:
                    has_more = True
                    break
                self._held_cursors[limit] = row + b"\x00"
                self._let_in[limit] -= self._bring(limit, state_key, settlement, now)
            if has_more and self._let_in[limit]:
                continue  # there is no room in hand yet
            del self._let_in[limit]
            if not has_more:
                del self._held_cursors[limit]
            self._owned.hand.brought(limit, has_more=has_more)

    def _bring(self, limit: str, state_key: bytes, settlement: Settlement, now: int) -> bool:
        owned = self._owned
        if state_key in owned.hand or state_key in settlement.opens:
            return False
        entry = owned.entry(state_key, settlement)
        if entry is None or entry.held != limit:
            return False
        lane = owned.lane_of_entry(entry)
        if lane is not None and not self._is_first(entry, lane, settlement):
            settlement.open(replace(entry, held=None, reason=REASON), lane)  # it waits for those
            return False
        self._start(entry, lane, settlement, now)
        return state_key in owned.hand

    def _is_first(self, entry: OpenEntry, lane: bytes, settlement: Settlement) -> bool:
        """Whether a job's key waits for it and for nothing else."""
        owned = self._owned
        if owned.hand.has_lane(lane) or lane in settlement.blocking:
            return False
        first = next(owned.tables.blockers(lane), None)
        is_read = entry.arrival < owned.watermark.position
        return is_read and first is not None and first.job == entry.job

    def _look_at_suspects(self, settlement: Settlement, now: int) -> None:
        waiting, self._waiting_suspects = self._waiting_suspects, {}
        for state_key in waiting:
            entry = self._owned.entry(state_key, settlement)
            if entry is None or entry.state is State.DEAD:
                continue
            lane = self._owned.lane_of_entry(entry)
            if entry.held is not None:
                self._bring(entry.held, state_key, settlement, now)
            elif lane is not None and entry.state is not State.RUNNING:
                self._touched[lane] = None  # it may not be the first of its key any more
            elif entry.due is None or entry.due <= now:
                self._start(entry, lane, settlement, now)

    def _look_at_touched(self, settlement: Settlement, now: int) -> None:
        while self._touched and self._has_room:
            lane, _ = self._touched.popitem(last=False)
            self._look(lane, settlement, now)

    def _look_at_early(self, settlement: Settlement, now: int) -> None:
        while self._has_passed_early and self._has_room:
            _, lane = heapq.heappop(self._early)
            self._look(lane, settlement, now)

    def _look_at_swept(self, settlement: Settlement, now: int) -> None:
        """After opening: the first job of each key, some keys at a time.

        What waits for a time comes up as that comes, and what is overdue in that order.
        """
        if self._sweep is None:
            return
        heads = self._owned.tables.lane_heads(self._sweep)
        for seen, (after, lane) in enumerate(heads):
            if seen == SWEPT_AT_ONCE or not self._has_room:
                return
            self._look(lane, settlement, now, is_timed=False)
            self._sweep = after
        self._sweep = None

    def _look(
        self, lane: bytes, settlement: Settlement, now: int, *, is_timed: bool = True
    ) -> None:
        """Start the first open job of a key, if none of the key runs and its time has come.

        `is_timed`: also if it waits for a time, and not for its turn alone.
        """
        owned = self._owned
        if owned.hand.has_lane(lane) or lane in settlement.blocking:
            return  # in the latter case this turn touches it again
        blockers = owned.tables.blockers(lane)
        entry = next(blockers, None)
        if entry is None:
            self._along.pop(lane, None)
            return
        if entry.state is State.DEAD or entry.held is not None:
            return
        state_key = entry.job.encode()
        if state_key in settlement.closes or state_key in settlement.opens:
            return
        if entry.arrival >= owned.watermark.position:
            # Earlier jobs of the key may not have been read yet.
            heapq.heappush(self._early, (entry.arrival, lane))
            return
        if entry.due is None or (is_timed and entry.due <= now):
            self._start(entry, lane, settlement, now)
            if entry.state is State.PARKED and owned.hand.has_lane(lane):
                self._take_along(blockers, lane, settlement, now)

    def _take_along(
        self, behind: Iterator[OpenEntry], lane: bytes, settlement: Settlement, now: int
    ) -> None:
        """Let what is parked right behind the first wait in hand, so that no write is between them.

        Twice as many each time, until one of the key is not over with its first attempt.
        """
        count = self._along.get(lane, 1)
        self._along[lane] = min(2 * count, ALONG_MAX)
        for entry in islice(behind, count):
            if not self._has_room or not self._may_come_along(entry, lane, settlement):
                return
            self._start(entry, lane, settlement, now)

    def _may_come_along(self, entry: OpenEntry, lane: bytes, settlement: Settlement) -> bool:
        owned, state_key = self._owned, entry.job.encode()
        return (
            entry.state is State.PARKED
            and entry.due is None
            and entry.held is None
            and not entry.starts
            and entry.arrival < owned.watermark.position
            and owned.registry.by_name(entry.job.name) is not None
            and owned.lane_of_entry(entry) == lane
            and not owned.suspicion.covers_entry(state_key, entry)
            and state_key not in settlement.opens
            and state_key not in settlement.closes
            and state_key not in owned.hand
        )

    def _start(
        self, entry: OpenEntry, lane: bytes | None, settlement: Settlement, now: int
    ) -> None:
        owned = self._owned
        if entry.job.encode() in owned.hand:
            return
        open_jobs.remove_pending_letter(entry, settlement, owned.place)
        if self._purges.end_before_start(entry, settlement, now):
            return
        definition = owned.registry.by_name(entry.job.name)
        if definition is None:
            hold_unknown(owned, entry, lane, settlement, now)
            return
        if self._callbacks.hold_or_open(entry, settlement, now, was_open=True):
            return
        state_key = entry.job.encode()
        suspicion = owned.suspicion
        is_covered = suspicion.covers_entry(state_key, entry)
        if is_covered and is_given_up(entry.starts, definition.retry.attempts):
            halts = definition.on_dead == "halt"
            open_jobs.bury_killer(
                entry, lane, settlement, owned.place, now, halts=halts, definition=definition
            )
            return
        # Before its start is recorded: one that only waits must not count as started.
        if not suspicion.suspects.may_start(state_key, entry.starts + is_covered, now):
            self._waiting_suspects[state_key] = None
            return
        if is_covered:
            open_jobs.record_start(entry, lane, settlement, suspicion, now)
            return
        record = entry_record(entry)
        envelope = entry.envelope or decode(record)
        attempt = attempt_of(entry.job, record, envelope, definition, lane=lane, entry=entry)
        attempt.is_overdue = entry.due is not None and entry.due < now - LATE_MS
        owned.take(attempt)

    def _release_due(self, settlement: Settlement, now: int) -> None:
        """Start what is due; what is long overdue does so in that order, as there is room."""
        if not self._owned.tables.counts.entries:
            return
        if self._unread is not None and self._is_unread_read:
            self._due.look_again(*self._unread)
            self._unread = None
        left = self._look_at_due(settlement, now, DUE_AT_ONCE)
        while left and self._due.behind is not None and self._has_room_for_overdue:
            left = self._look_at_overdue(self._due.behind, settlement, now, left)

    def _look_at_due(self, settlement: Settlement, now: int, left: int) -> int:
        """Up to so many rows; how many others may be looked at in this turn."""
        overdue = due_row(now - LATE_MS, b"")
        for row, state_key in self._owned.tables.due_from(self._due.cursor, now):
            if not left or not self._has_room:
                return 0  # the rest is due still: the next turn goes on with it
            if row < overdue and not self._has_room_for_overdue:
                self._due.fall_behind(overdue)
                return self._look_at_due(settlement, now, left)
            left -= 1
            self._due.seen(row)
            self._come_due(row, state_key, settlement, now)
        return left

    def _look_at_overdue(
        self, rows: tuple[bytes, bytes], settlement: Settlement, now: int, left: int
    ) -> int:
        start, end = rows
        if end > (is_due := due_row(now + 1, b"")):
            self._due.turn_back(max(start, is_due))
            return left
        for row, state_key in self._owned.tables.due_from(start, now):
            if row >= end:
                break
            if not left or not self._has_room_for_overdue:
                return 0
            left -= 1
            self._due.seen_behind(row)
            self._come_due(row, state_key, settlement, now)
        self._due.caught_up()
        return left

    def _come_due(self, row: bytes, state_key: bytes, settlement: Settlement, now: int) -> None:
        owned = self._owned
        entry = owned.entry(state_key, settlement)
        if entry is None or entry.due is None or entry.due > now or state_key in owned.hand:
            return
        if is_debounced(entry) and self._must_be_read_first(row, entry.due, settlement):
            return
        if entry.state is State.DEAD:
            if entry.letter_pending:  # a crash left it so
                self._send_letter(entry, settlement, now)
            else:
                by_policy(owned, entry, settlement, now)
            return
        lane = owned.lane_of_entry(entry)
        if lane is None:
            self._start(entry, None, settlement, now)
        elif entry.blocks:
            self._touched[lane] = None
        elif owned.hand.has_lane(lane) or owned.is_blocked(lane, settlement):
            park_entry(owned, entry, lane, settlement, now)
            # What waits in hand is behind it now, durably.
            park_attempts(owned, owned.hand.give_back(lane), settlement, now)
        else:
            self._start(entry, lane, settlement, now)

    def _send_letter(self, entry: OpenEntry, settlement: Settlement, now: int) -> None:
        """Send what a crash left pending, with the job that hears of it.

        Which one that is knows the next worker, perhaps, if this one does not.
        """
        owned = self._owned
        definition = owned.registry.by_name(entry.job.name)
        was_known = entry.failure is None or entry.failure.type != UNKNOWN_JOB
        may_be_told = definition is None and was_known and entry.restored is None
        if may_be_told and now < entry.failed_at + UNKNOWN_FOR_MS:
            later = replace(entry, due=now + UNKNOWN_FIRST_LOOK_MS)
            settlement.open(later, owned.lane_of_entry(entry))
            return
        hook = hook_of(entry, definition, owned.place)
        open_jobs.send_letter(entry, settlement, owned.place, hook)


def hold_unknown(
    owned: Owned, entry: OpenEntry, lane: bytes | None, settlement: Settlement, now: int
) -> None:
    """Keep a job whose name no handler here knows: in a rolling deploy the next worker does.

    It is looked at again after as long as it has waited, until it has waited 15 minutes; then it
    is dead, and can be replayed once somebody knows it.
    """
    since = entry.unknown_since or now
    waited = now - since
    if waited >= UNKNOWN_FOR_MS:
        open_jobs.bury_unknown(entry, lane, settlement, owned.place, now)
        return
    look = now + min(max(waited, UNKNOWN_FIRST_LOOK_MS), UNKNOWN_FOR_MS - waited)
    held = replace(
        entry,
        state=State.PARKED,
        due=look,
        held=None,
        blocks=lane is not None,
        unknown_since=since,
        reason=f"no handler here is named {entry.job.name!r}",
    )
    settlement.open(held, lane)
    if not waited:
        owned.tell(settlement, Happening.PARKED, entry.job, now)
