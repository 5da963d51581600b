"""Slots of one kind, and who waits for them: which job starts next on this worker. Pure."""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Final

from streams.worker.attempt import Attempt

WEIGHT: Final = 1  # of a queue that nobody gave one


@dataclass(slots=True, eq=False)
class _Line:
    """The jobs of one queue that wait: what came due, and what came from the queue.

    The two take turns, so that neither a long queue nor a long-overdue backlog starves the other.
    """

    weight: int
    credit: int = 0  # see `Slots._fullest`
    arrived: deque[Attempt] = field(default_factory=deque)
    due: deque[Attempt] = field(default_factory=deque)
    due_is_next: bool = True

    def __bool__(self) -> bool:
        return bool(self.due or self.arrived)

    def of(self, attempt: Attempt) -> deque[Attempt]:
        """Where this one waits."""
        return self.due if attempt.was_opened else self.arrived

    def pop(self) -> Attempt:
        """The next one; there is one."""
        if self.due and (self.due_is_next or not self.arrived):
            self.due_is_next = False
            return self.due.popleft()
        self.due_is_next = True
        return self.arrived.popleft()


@dataclass(slots=True)
class _Limited:
    """The jobs of one definition that has a limit of its own."""

    running: int = 0
    held: deque[Attempt] = field(default_factory=deque)  # the limit is reached


class Slots:
    """Queues share the slots by their weights; a definition has no more of them than its limit.

    While all queues have jobs that wait, one of weight 6 starts six for each of one of weight 1,
    spread evenly (smooth weighted round-robin, as in nginx's upstream module). A queue without
    jobs that wait saves nothing up. What is held by the limit of its definition stands in nobody's
    way, and keeps its order.
    """

    def __init__(self, free: int, weights: Mapping[str, int] | None = None) -> None:
        self.free = free
        self.put_back: deque[Attempt] = deque()  # had a slot and did not start
        self.paused: Collection[str] = ()  # queues of which nothing starts
        self._weights = weights or {}
        self._lines: dict[str, _Line] = {}
        self._limited: dict[str, _Limited] = {}

    @property
    def is_waited_for(self) -> bool:
        """Whether anybody waits, but for those who are held."""
        return bool(self.put_back) or any(self._waiting())

    def wait(self, attempt: Attempt) -> None:
        """Let a job wait for its turn; when that comes, its definition's limit is looked at."""
        self._line_of(attempt).of(attempt).append(attempt)

    def may_start(self, attempt: Attempt) -> bool:
        """Whether a job may start at once, before all that wait: nobody waits, or could start."""
        if self.free <= 0 or self.put_back:
            return False
        if self.paused and _queue_of(attempt) in self.paused:
            return False
        limited = self._limit_of(attempt)
        return limited is None or not (limited.held or self._is_full(attempt, limited))

    def take(self, attempt: Attempt) -> None:
        """A job has a slot now."""
        self.free -= 1
        limited = self._limit_of(attempt)
        if limited is not None:
            limited.running += 1

    def give_back(self, attempt: Attempt) -> None:
        """A job has its slot no more; who was held for it waits for his turn, as the first."""
        self.free += 1
        limited = self._limit_of(attempt)
        if limited is None:
            return
        limited.running -= 1
        if limited.held and not self._is_full(attempt, limited):
            first = limited.held.popleft()
            self._line_of(first).of(first).appendleft(first)
        elif not limited.running and not limited.held:
            del self._limited[attempt.job.name]

    def remove(self, attempt: Attempt) -> bool:
        """A job waits no more; False: it did not wait."""
        lines = [self._line_of(attempt).of(attempt), self.put_back]
        if (limited := self._limit_of(attempt)) is not None:
            lines.append(limited.held)
        for line in lines:
            if attempt in line:
                line.remove(attempt)
                return True
        return False

    def next(self) -> Attempt | None:
        """Whose turn it is; None: nobody's who could start."""
        if self.put_back:
            return self.put_back.popleft()  # also of a paused queue: it had begun, nearly
        while (line := self._fullest()) is not None:
            attempt = line.pop()
            limited = self._limit_of(attempt)
            if limited is None or not self._is_full(attempt, limited):
                return attempt
            limited.held.append(attempt)
        return None

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

    def _line_of(self, attempt: Attempt) -> _Line:
        queue = _queue_of(attempt)
        line = self._lines.get(queue)
        if line is None:
            line = self._lines[queue] = _Line(self._weights.get(queue, WEIGHT))
        return line

    def _limit_of(self, attempt: Attempt) -> _Limited | None:
        if attempt.definition.concurrency is None:
            return None
        return self._limited.setdefault(attempt.job.name, _Limited())

    @staticmethod
    def _is_full(attempt: Attempt, limited: _Limited) -> bool:
        limit = attempt.definition.concurrency
        return limit is not None and limited.running >= limit


def _queue_of(attempt: Attempt) -> str:
    return attempt.envelope.queue or attempt.definition.queue
