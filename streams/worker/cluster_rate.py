"""The rate of a definition in the whole cluster, as this worker has asked for it. Pure."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import ClassVar, Final

from streams.worker.attempt import Attempt
from streams.worker.limit import NEAR_MAX, Limit
from streams.worker.limit_asks import Answer
from streams.worker.rate_windows import Ask, use_ms

_ASKS: Final = 10  # a worker asks for a tenth of a rate at a time, so that all get their share


@dataclass(slots=True, eq=False)
class Rate(Limit):
    """So many start in a window of time, in the whole cluster: starts are asked for.

    What was asked for and is not used in time is lost: so no more is asked for than can start.
    """

    per_ms: int = 0
    frees_by_end: ClassVar[bool] = False
    runs_in: str = "loop"
    queue: str = ""  # in which most of its jobs come
    starts: deque[tuple[int, int]] = field(default_factory=deque)  # (use by, how many)
    is_asking: bool = False
    reserved: int = 0  # slots that are kept free for the answer
    beside: Sequence[Limit] = ()  # how many of its jobs may run at a time
    next_at: int = 0  # when it is worth asking again, by `elapsed`
    elapsed: Callable[[], int] = lambda: 0

    @property
    def is_full(self) -> bool:
        starts = self.starts
        if starts:
            now = self.elapsed()
            while starts and starts[0][0] < now:
                starts.popleft()
        return not starts

    @property
    def available(self) -> int:
        """How many may start now."""
        return 0 if self.is_full else sum(count for _, count in self.starts)

    @property
    def near(self) -> int:
        most = self.most or 0
        return min(NEAR_MAX, max(1, most * self.near_ms // self.per_ms)) if self.near_ms else 0

    @property
    def reach(self) -> int:
        return max(self.near, self.available)

    def start(self, attempt: Attempt) -> None:
        """It uses one up."""
        self.running += 1
        if self.pace is not None:
            self.pace.count()
        use_by, count = self.starts.popleft()
        if count > 1:
            self.starts.appendleft((use_by, count - 1))
        attempt.start_by = use_by

    def give_back(self) -> None:
        """That leaves its start used up."""
        self.running -= 1

    def wanted(self, free: int) -> int:
        """How many to ask for now, if so many slots are free; 0: none."""
        if free <= 0 or self.is_asking or not self.most or self.elapsed() < self.next_at:
            return 0
        waiting = len(self.held) + self.coming - self.available
        if self.asked and not self.near:
            waiting += 1  # none of them comes without
        soon = 0 if self.pace is None else int(self.pace.per_second() * use_ms(self.per_ms) / 2_000)
        room = min([free, *[limit.lets_use for limit in self.beside]])
        return max(0, min(waiting, -(-self.most // _ASKS), max(room, soon)))

    def next_ask(self, free: int) -> Ask | None:
        """What to ask for now, if so many slots are free; None: nothing."""
        if self.is_asking or not (self.held or self.coming or self.asked):
            return None
        wanted = self.wanted(free)
        if not wanted or not self.most:
            return None
        self.is_asking = True
        return Ask(wanted=wanted, most=self.most, per_ms=self.per_ms, use_ms=use_ms(self.per_ms))

    def answered(self, answer: Answer) -> int:
        """Note the answer; how many of those that wait may go on."""
        self.is_asking, self.next_at = False, answer.next_at
        if answer.count:
            self.starts.append((answer.use_by, answer.count))
        return answer.count

    @property
    def look_next(self) -> int | None:
        """When it is worth asking, by `elapsed`, if nothing happens before."""
        if self.is_asking or not (self.held or self.coming or self.asked):
            return None
        return self.next_at
