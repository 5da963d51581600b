"""Slots of one kind, and who waits for them: which job starts next on this worker. Pure."""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from streams.worker.attempt import Attempt
from streams.worker.fair import Fair
from streams.worker.limit import Limit
from streams.worker.limits import Limits

WEIGHT: Final = 1  # of a queue that nobody gave one


class _Overdue:
    """The jobs that should have started long ago, whatever partition they are of: in that order."""

    def __init__(self) -> None:
        self._heap: list[tuple[int, int, Attempt | Fair]] = []
        self._count = 0

    def __len__(self) -> int:
        return len(self._heap)

    def __contains__(self, waiting: Attempt | Fair) -> bool:
        return any(each is waiting for _, _, each in self._heap)

    def put(self, due: int, waiting: Attempt | Fair) -> None:
        """Let one wait that was due then."""
        self._count += 1
        heapq.heappush(self._heap, (due, self._count, waiting))

    def popleft(self) -> Attempt | Fair:
        """The one that was due first."""
        return heapq.heappop(self._heap)[2]

    def remove(self, waiting: Attempt | Fair) -> None:
        """One waits no more."""
        self._heap = [each for each in self._heap if each[2] is not waiting]
        heapq.heapify(self._heap)


_Waiting = deque[Attempt | Fair] | _Overdue


@dataclass(slots=True, eq=False)
class _Line:
    """The jobs of one queue that wait: what came due, what came from the queue, what is overdue.

    They take turns, so that neither a long queue nor a long-overdue backlog starves the others.
    """

    weight: int
    credit: int = 0  # see `Slots._fullest`
    arrived: deque[Attempt | Fair] = field(default_factory=deque)
    due: deque[Attempt | Fair] = field(default_factory=deque)
    overdue: _Overdue = field(default_factory=_Overdue)
    let_go: deque[Attempt | Fair] = field(
        default_factory=deque
    )  # by a limit: they had their turn before
    turn: int = -1  # whose turn it was

    def __bool__(self) -> bool:
        return bool(self.due or self.arrived or self.overdue or self.let_go)

    def put(self, attempt: Attempt, waiting: Attempt | Fair) -> None:
        """Let a job wait, or who stands in line for it."""
        if attempt.is_overdue:
            self.overdue.put(attempt.due, waiting)
        elif attempt.was_opened:
            self.due.append(waiting)
        else:
            self.arrived.append(waiting)

    def pop(self) -> Attempt | Fair:
        """The next one; there is one."""
        if self.let_go:
            return self.let_go.popleft()
        if not self.due and not self.overdue:  # the usual case
            return self.arrived.popleft()
        places: list[_Waiting] = [self.due, self.arrived, self.overdue]
        for _ in places:
            self.turn = (self.turn + 1) % len(places)
            if places[self.turn]:
                break
        return places[self.turn].popleft()


class Slots:
    """Queues share the slots by their weights; a definition has no more of them than its limit.

    While all queues have jobs that wait, one of weight 6 starts six for each of one of weight 1,
    spread evenly (smooth weighted round-robin, as in nginx's upstream module). A queue without
    jobs that wait saves nothing up. What is held by a limit (see `Limits`) stands in nobody's way,
    and keeps its order. A key is in one partition, and so on one worker: its limit holds for the
    whole cluster.
    """

    def __init__(
        self,
        free: int,
        weights: Mapping[str, int] | None = None,
        limits: Limits | None = None,
    ) -> None:
        self.free = free
        self.size = free  # those in use counted in
        self.granted: deque[Attempt | Fair] = deque()  # a rate has room for them: they are next
        self.turned_away: list[tuple[Attempt, Limit]] = []  # to the open table
        self.put_back: deque[Attempt] = deque()  # had a slot and did not start
        self.paused: Collection[str] = ()  # queues of which nothing starts
        self._weights = weights or {}
        self._lines: dict[str, _Line] = {}
        self._limits = limits or Limits()

    @property
    def is_waited_for(self) -> bool:
        """Whether anybody waits, but for those who are held."""
        return bool(self.put_back or self.granted) or any(self._waiting())

    @property
    def promised(self) -> int:
        """How many are to start before all others."""
        return len(self.granted) + len(self.put_back)

    def wait(self, attempt: Attempt) -> None:
        """Let a job wait for its turn; when that comes, its definition's limit is looked at."""
        line = self._line_of(attempt)
        fair = self._limits.fair(attempt)
        if fair is None:
            line.put(attempt, attempt)
            if attempt.was_opened:
                self._limits.come(attempt)
            return
        tenant = fair.tenant_of(attempt)
        share = self._limits.share(attempt, tenant)
        if share.keeps_near(attempt):
            fair.add(attempt, tenant, share)
            line.put(attempt, fair)
        else:
            self.turned_away.append((attempt, share))

    def may_start(self, attempt: Attempt) -> bool:
        """Whether a job may start at once, before all that wait: nobody waits, or could start."""
        if self.free <= 0 or self.put_back or self.granted:
            return False
        if self.paused and attempt.queue in self.paused:
            return False
        if attempt.definition.fair_by is not None and self._limits.fair(attempt):
            return False
        return not any(limit.held or limit.is_full for limit in self._limits.of(attempt))

    def take(self, attempt: Attempt) -> None:
        """A job has a slot now."""
        self.free -= 1
        attempt.passed = self._limits.of(attempt)
        for limit in attempt.passed:
            limit.start(attempt)
            if limit.asked or limit.held:
                self._limits.look_later(limit)

    def give_back(self, attempt: Attempt) -> None:
        """A job has its slot no more; who was held for it waits for his turn, as the first."""
        self.free += 1
        passed, attempt.passed = attempt.passed, ()
        for limit in passed:
            limit.give_back()
            if limit.frees_by_end or not self.granted:  # else what it has is for those
                self._let_go_one(limit)

    def remove(self, attempt: Attempt) -> bool:
        """A job waits no more; False: it did not wait."""
        self._limits.arrive(attempt)
        fair = self._limits.fair(attempt)
        if fair is not None and (share := fair.remove(attempt)) is not None:
            self._limits.forget(share)
            return True
        line = self._line_of(attempt)
        places: list[_Waiting | deque[Attempt]] = [line.arrived, line.due, line.overdue]
        for waiting in (*places, line.let_go, self.put_back, self.granted):
            if attempt in waiting:
                waiting.remove(attempt)
                break
        else:
            if not any(limit.remove(attempt) for limit in self._limits.of(attempt)):
                return False
        self._let_go(self._limits.of(attempt))  # others may have been held for it
        return True

    def next(self) -> Attempt | None:
        """Whose turn it is; None: nobody's who could start."""
        while (waiting := self._pop()) is not None:
            if isinstance(waiting, Attempt):
                attempt = waiting
                if attempt.comes_for is not None:
                    self._limits.arrive(attempt)
            elif (found := self._first_of(waiting)) is not None:
                attempt = found
            else:
                continue
            limits = self._limits.of(attempt)
            for limit in limits:
                if limit.is_full:
                    full = limit
                    break
            else:
                return attempt
            self._limits.look_later(full)
            if full.keeps_near(attempt):
                full.hold(attempt)
            else:
                self.turned_away.append((attempt, full))
            self._let_go(limits)  # what another limit had let go for it is another one's turn
        return None

    def _first_of(self, fair: Fair) -> Attempt | None:
        """The job of the tenant whose turn it is, if it could start as far as its definition goes.

        Else the turn is kept, not the job: when there is room, it may be another tenant's.
        """
        if not fair:
            return None
        limits = self._limits.of(fair.first())
        if limits:
            limits = [limit for limit in limits if limit.group is None]
        for limit in limits:
            if limit.is_full and limit.most:
                limit.hold(fair)
                self._let_go(limits)
                return None
        attempt, share = fair.next()
        self._limits.forget(share)
        return attempt

    def let_go(self, waiting: Attempt | Fair) -> None:
        """A limit has room for this one: it is the next of its queue."""
        self._line_of(waiting).let_go.append(waiting)

    def grant(self, waiting: Attempt | Fair) -> None:
        """A rate has room for this one, for a short while."""
        if self.paused and waiting.queue in self.paused:
            self._line_of(waiting).let_go.append(waiting)
        else:
            self.granted.append(waiting)

    def _pop(self) -> Attempt | Fair | None:
        if self.put_back:
            return self.put_back.popleft()  # also of a paused queue: it had begun, nearly
        if self.granted:
            return self.granted.popleft()
        line = self._fullest()
        return None if line is None else line.pop()

    def _fullest(self) -> _Line | None:
        """The queue whose turn it is: each gains its weight, and who has most pays for all."""
        waiting = self._waiting()
        if len(waiting) < 2:
            return waiting[0] if waiting else None
        for line in self._lines.values():
            line.credit = line.credit + line.weight if line in waiting else 0
        first = max(waiting, key=lambda line: line.credit)
        first.credit -= sum(line.weight for line in waiting)
        return first

    def _waiting(self) -> list[_Line]:
        """The queues that have jobs which could start."""
        if not self.paused:
            return [line for line in self._lines.values() if line]
        return [line for queue, line in self._lines.items() if line and queue not in self.paused]

    def _line_of(self, waiting: Attempt | Fair) -> _Line:
        queue = waiting.queue
        line = self._lines.get(queue)
        if line is None:
            line = self._lines[queue] = _Line(self._weights.get(queue, WEIGHT))
        return line

    def _let_go(self, limits: Sequence[Limit]) -> None:
        """Let one that is held by each of these have its turn; forget idle limits."""
        for limit in limits:
            self._let_go_one(limit)

    def _let_go_one(self, limit: Limit) -> None:
        if limit.held and not limit.is_full:
            first = limit.let_go()
            self._line_of(first).let_go.append(first)
        self._limits.forget(limit)
