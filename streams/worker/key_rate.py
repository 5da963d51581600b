"""The rate of one key: exact and local, since a key is in one partition. Pure."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from streams.worker.attempt import Attempt
from streams.worker.limit import Limit
from streams.worker.ports import Holder

SKEW_MS: Final = 1_000  # how far the clocks of workers may be apart


@dataclass(slots=True, eq=False)
class KeyRate(Limit):
    """So many of a key start in a window of time; known while jobs of the key are in hand."""

    per_ms: int = 0
    starts: deque[int] = field(default_factory=deque)  # ms since the epoch, in order
    is_known: bool = False  # else nobody has said what started before
    users: int = 0  # attempts in hand
    holder: Holder | None = None  # the partition that its key is in

    def enter(self, attempt: Attempt, before: Iterable[int]) -> None:
        """An attempt comes into hand; `before`: when others started, if that is not known yet."""
        self.users += 1
        attempt.key_rate = self
        if not self.is_known:
            self.is_known = True
            self.starts.extend(sorted(before))

    def leave(self, attempt: Attempt) -> None:
        """What became of it is in state."""
        self.users -= 1
        attempt.key_rate = None

    @property
    def free_at(self) -> int:
        """When one more may start; each start is some part of a millisecond later than it says."""
        if self.most is None or len(self.starts) < self.most:
            return 0
        return self.starts[-self.most] + self.per_ms + 1

    @property
    def is_full(self) -> bool:
        return self.free_at > self.now()

    @property
    def room(self) -> int:
        """How many may start now."""
        if self.most is None:
            return 0
        since = self.now() - self.per_ms
        while self.starts and self.starts[0] < since:
            self.starts.popleft()
        return self.most - sum(start + 1 > since for start in self.starts)

    @property
    def near(self) -> int:
        if not self.near_ms or self.group is None:
            return 0
        soon = max(1, (self.most or 0) * self.near_ms // self.per_ms)
        return min(soon, self.group.left)

    @property
    def reach(self) -> int:
        return max(self.near, self.room) if self.is_known else 1

    def start(self, attempt: Attempt) -> None:
        """It starts now."""
        Limit.start(self, attempt)
        self.starts.append(max(self.now(), self.starts[-1] if self.starts else 0))
        if self.most is not None:
            while len(self.starts) > self.most:
                self.starts.popleft()

    @property
    def is_idle(self) -> bool:
        return not self.users and Limit.is_idle.fget(self)  # type: ignore[attr-defined]
