"""A limit on how many jobs of a kind run at a time, and who waits for it near. Pure."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar, Final

from streams.jobs.outcome import Outcome
from streams.worker.attempt import Attempt
from streams.worker.pace import Pace
from streams.worker.ports import Holder

if TYPE_CHECKING:
    from streams.worker.fair import Fair

NEAR_MS: Final = 10_000  # who has to wait for longer than that goes to the open table
NEAR_MIN: Final = 100  # who waits near for a definition's limit, whatever its pace
NEAR_MAX: Final = 100_000  # a hand has its own bounds
NEAR_NEW: Final = 4_000  # while nobody knows how fast those go on that wait
NEW_MS: Final = 1_000
KEYS_NEAR_MIN: Final = 4  # for the limit of one key
KEYS_NEAR_MAX: Final = 1_000  # for the limits of all keys of a definition
FREED_AT_ONCE: Final = 1_000  # of what nothing holds any more


_NOBODY: Final[deque[Attempt | Fair]] = deque(maxlen=0)  # of most keys nobody ever waits


@dataclass(slots=True, eq=False)
class Group:
    """The limits of all keys of a definition."""

    reason: str = ""  # for those who ask why one of their jobs waits
    held: int = 0
    short: dict[str, Limit] = field(default_factory=dict)  # with more in tables, and none left

    @property
    def left(self) -> int:
        """How many more of all these keys may wait near."""
        return KEYS_NEAR_MAX - self.held


@dataclass(slots=True, eq=False)
class Limit:
    """How many of some jobs may run at a time; `most` None: it holds nothing, or not any more."""

    frees_by_end: ClassVar[bool] = True  # whether there is room for one more when one ends
    name: str  # as entries have it that are held by it
    now: Callable[[], int]
    reason: str = ""  # for those who ask why
    most: int | None = None
    running: int = 0
    held: deque[Attempt | Fair] = field(default_factory=lambda: _NOBODY)  # near
    coming: int = 0  # of those asked for: they wait for their turn
    asked: dict[Holder, int] = field(default_factory=dict)  # who has more, and how many were asked
    pace: Pace | None = None
    group: Group | None = None  # of a key: all keys of its definition
    near_ms: int = NEAR_MS
    full_since: int = 0  # nobody waited before, in ms since the epoch
    look_at: int | None = None  # when somebody looks whether there is room by then

    @property
    def is_full(self) -> bool:
        return self.most is not None and self.running >= self.most

    @property
    def near(self) -> int:
        """How many may wait in memory."""
        return self.near_by_pace

    @property
    def near_by_pace(self) -> int:
        """As many as go on soon, as far as is known."""
        if self.most is None:
            return FREED_AT_ONCE
        if not self.most:
            return 0
        soon = 0 if self.pace is None else int(self.pace.per_second() * self.near_ms / 1_000)
        if self.group is not None:
            return min(self.group.left, max(KEYS_NEAR_MIN, 2 * self.most, soon))
        if self.now() < self.full_since + NEW_MS:
            soon = max(soon, NEAR_NEW)
        return min(NEAR_MAX, max(NEAR_MIN, 2 * self.most, soon))

    @property
    def room(self) -> int:
        """How many may start now."""
        return FREED_AT_ONCE if self.most is None else max(0, self.most - self.running)

    @property
    def lets_use(self) -> int:
        """How many starts of a rate could be used now, as far as this limit goes."""
        return self.room

    @property
    def free_at(self) -> int | None:
        """When one more may start, in ms since the epoch; None: that is no matter of time."""
        return None

    @property
    def reach(self) -> int:
        """How many are wanted in hand at a time."""
        if self.group is None:
            return self.near
        return max(self.near, self.room)  # though those of other keys take up all that may be near

    @property
    def is_idle(self) -> bool:
        """Whether nobody runs or waits."""
        return not (self.running or self.held or self.asked or self.coming)

    @property
    def is_one_of_many(self) -> bool:
        """Whether it is a key's or a tenant's, or was one's of a definition that has it no more."""
        return self.group is not None or self.most is None

    def keeps_near(self, attempt: Attempt) -> bool:
        """Whether this one may wait in memory; half of that is for those who wait in the table."""
        is_from_table = attempt.entry is not None and attempt.entry.held == self.name
        if self.asked and not is_from_table:
            return len(self.held) + self.coming < self.near // 2
        return len(self.held) < self.near

    def start(self, attempt: Attempt) -> None:
        """This one runs."""
        self.running += 1

    def give_back(self) -> None:
        """One of those that run does so no more: how fast they end is how fast others go on."""
        self.running -= 1
        if self.pace is not None:
            self.pace.count()

    def withdraw(self, attempt: Attempt) -> None:
        """One that passed it has not begun, and waits for its turn again."""

    def ended(self, attempt: Attempt, outcome: Outcome) -> Outcome:
        """One that passed it ended; what that means for the job."""
        return outcome

    def hold(self, waiting: Attempt | Fair) -> None:
        """Let it wait near."""
        now = self.now()
        if not self.held and not self.asked:
            self.full_since = now
        if self.held is _NOBODY:
            self.held = deque()
        self.held.append(waiting)
        for each in _jobs_of(waiting):
            each.held_by, each.held_since = self, now
        if self.group is not None:
            self.group.held += 1

    def let_go(self) -> Attempt | Fair:
        """The first that waits near waits no more."""
        first = self.held.popleft()
        self._forget(first)
        return first

    def remove_last(self) -> None:
        """Who came last waits here no more."""
        self._forget(self.held.pop())

    def remove(self, attempt: Attempt) -> bool:
        """It waits no more; False: it did not wait here."""
        if attempt not in self.held:
            return False
        self.held.remove(attempt)
        self._forget(attempt)
        return True

    def _forget(self, waiting: Attempt | Fair) -> None:
        for each in _jobs_of(waiting):
            each.held_by = None
        if self.group is not None:
            self.group.held -= 1

    def ask(self) -> Sequence[tuple[Holder, int]]:
        """Whom to ask for how many; they are noted as asked."""
        idle = [holder for holder, count in self.asked.items() if not count]
        near = self.reach
        wanted = near - len(self.held) - self.coming - sum(self.asked.values())
        if not idle or wanted <= 0 or wanted * 2 < near:  # not for each one that starts
            return ()
        each = max(1, -(-wanted // len(idle)))
        for holder in idle:
            self.asked[holder] = each
        return [(holder, each) for holder in idle]


def _jobs_of(waiting: Attempt | Fair) -> Sequence[Attempt]:
    """It, and those that are to run in one call with it."""
    if not isinstance(waiting, Attempt):
        return ()
    return (waiting,) if waiting.group is None else (waiting, *waiting.group.members)
