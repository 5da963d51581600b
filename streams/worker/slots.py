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
    let_go: deque[Attempt] = field(default_factory=deque)  # by a limit: they had their turn before
    due_is_next: bool = True

    def __bool__(self) -> bool:
        return bool(self.due or self.arrived or self.let_go)

    def of(self, attempt: Attempt) -> deque[Attempt]:
        """Where this one waits."""
        return self.due if attempt.was_opened else self.arrived

    def pop(self) -> Attempt:
        """The next one; there is one."""
        if self.let_go:
            return self.let_go.popleft()
        if self.due and (self.due_is_next or not self.arrived):
            self.due_is_next = False
            return self.due.popleft()
        self.due_is_next = True
        return self.arrived.popleft()


@dataclass(slots=True, eq=False)
class _Limit:
    """How many jobs of a definition, or of one key of it, may run at a time."""

    most: int
    running: int = 0
    held: deque[Attempt] = field(default_factory=deque)  # the limit is reached

    @property
    def is_full(self) -> bool:
        return self.running >= self.most


class Slots:
    """Queues share the slots by their weights; a definition has no more of them than its limit.

    While all queues have jobs that wait, one of weight 6 starts six for each of one of weight 1,
    spread evenly (smooth weighted round-robin, as in nginx's upstream module). A queue without
    jobs that wait saves nothing up. What is held by the limit of its definition, or of its key,
    stands in nobody's way, and keeps its order. A key is in one partition, and so on one worker:
    its limit holds for the whole cluster.
    """

    def __init__(self, free: int, weights: Mapping[str, int] | None = None) -> None:
        self.free = free
        self.put_back: deque[Attempt] = deque()  # had a slot and did not start
        self.paused: Collection[str] = ()  # queues of which nothing starts
        self._weights = weights or {}
        self._lines: dict[str, _Line] = {}
        self._limits: dict[tuple[str, str | None], _Limit] = {}  # by name, and key

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
        return not any(limit.held or limit.is_full for limit in self._limits_of(attempt))

    def take(self, attempt: Attempt) -> None:
        """A job has a slot now."""
        self.free -= 1
        for limit in self._limits_of(attempt):
            limit.running += 1

    def give_back(self, attempt: Attempt) -> None:
        """A job has its slot no more; who was held for it waits for his turn, as the first."""
        self.free += 1
        for limit in self._limits_of(attempt):
            limit.running -= 1
        self._let_go(attempt)

    def remove(self, attempt: Attempt) -> bool:
        """A job waits no more; False: it did not wait."""
        line = self._line_of(attempt)
        held = [limit.held for limit in self._limits_of(attempt)]
        for waiting in (line.of(attempt), line.let_go, self.put_back, *held):
            if attempt in waiting:
                waiting.remove(attempt)
                self._let_go(attempt)  # others may have been held for it
                return True
        return False

    def next(self) -> Attempt | None:
        """Whose turn it is; None: nobody's who could start."""
        if self.put_back:
            return self.put_back.popleft()  # also of a paused queue: it had begun, nearly
        while (line := self._fullest()) is not None:
            attempt = line.pop()
            full = next((limit for limit in self._limits_of(attempt) if limit.is_full), None)
            if full is None:
                return attempt
            full.held.append(attempt)
            self._let_go(attempt)  # what another limit had let go for it is another one's turn
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

    def _limits_of(self, attempt: Attempt) -> list[_Limit]:
        definition, name = attempt.definition, attempt.job.name
        limits = []
        if definition.concurrency is not None:
            limits.append(self._limit(name, None, definition.concurrency))
        if definition.key_concurrency is not None and attempt.job.ordering_key is not None:
            key = attempt.job.ordering_key
            limits.append(self._limit(name, key, definition.key_concurrency))
        return limits

    def _limit(self, name: str, key: str | None, most: int) -> _Limit:
        limit = self._limits.get((name, key))
        if limit is None:
            limit = self._limits[(name, key)] = _Limit(most)
        return limit

    def _let_go(self, attempt: Attempt) -> None:
        """Let those who are held by the limits of this one have their turn; forget idle limits."""
        for limit in self._limits_of(attempt):
            if limit.held and not limit.is_full:
                first = limit.held.popleft()
                self._line_of(first).let_go.append(first)
        for key in ((attempt.job.name, None), (attempt.job.name, attempt.job.ordering_key)):
            idle = self._limits.get(key)
            if idle is not None and not idle.running and not idle.held:
                del self._limits[key]


def _queue_of(attempt: Attempt) -> str:
    return attempt.envelope.queue or attempt.definition.queue
