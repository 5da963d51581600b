"""The rate of one key: exact and local, since a key is in one partition. Pure."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import ClassVar, Final

from streams.worker.attempt import Attempt
from streams.worker.limit import Limit
from streams.worker.ports import Holder

SKEW_MS: Final = 1_000  # how far the clocks of workers may be apart
IDLE_KEYS: Final = 20_000  # that are remembered though nothing of them is in hand
IDLE_STARTS: Final = 25  # of one key; where there are more of them state is read again


@dataclass(slots=True, eq=False)
class KeyRate(Limit):
    """So many of a key start in a window of time; known while jobs of the key are in hand."""

    frees_by_end: ClassVar[bool] = False
    per_ms: int = 0
    starts: list[int] = field(default_factory=list)  # ms since the epoch, in order
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
        if self.most is None or len(self.starts) < self.most:
            return False
        return self.free_at > self.now()

    @property
    def room(self) -> int:
        """How many may start now."""
        if self.most is None:
            return 0
        counting = len(self.starts) - bisect_left(self.starts, self.now() - self.per_ms)
        return max(0, self.most - counting)

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
        self.running += 1
        starts, now = self.starts, self.now()
        attempt.counted_at = max(now, starts[-1]) if starts else now
        starts.append(attempt.counted_at)
        if self.most is not None and len(starts) > 2 * self.most:
            del starts[: -self.most]

    def begin(self, attempt: Attempt, now: int) -> None:
        """Its handler begins only now: its window counts from here."""
        counted = attempt.counted_at
        if counted is None or now <= counted:
            return
        for at in range(len(self.starts) - 1, -1, -1):
            if self.starts[at] == counted:
                del self.starts[at]
                insort(self.starts, now)
                attempt.counted_at = now
                return

    @property
    def is_idle(self) -> bool:
        return not (self.users or self.running or self.held or self.asked or self.coming)


class IdleKeys:
    """When those keys started of which nothing is in hand, the latest of them.

    When they come again no state is read for that, as long as their partition is the same owner's.
    """

    def __init__(self) -> None:
        self._starts: OrderedDict[str, tuple[Holder | None, tuple[int, ...]]] = OrderedDict()

    def keep(self, rate: KeyRate) -> None:
        """Nothing of it is in hand any more."""
        if not rate.is_known or len(rate.starts) > IDLE_STARTS:
            return
        self._starts[rate.name] = (rate.holder, tuple(rate.starts))
        if len(self._starts) > IDLE_KEYS:
            self._starts.popitem(last=False)

    def restore(self, rate: KeyRate) -> None:
        """It comes again."""
        kept = self._starts.pop(rate.name, None)
        if kept is not None:
            rate.is_known = True
            rate.starts.extend(kept[1])

    def withdraw(self, holder: Holder) -> None:
        """Another worker may start jobs of its keys."""
        for name in [name for name, (of, _) in self._starts.items() if of is holder]:
            del self._starts[name]
