"""What holds jobs back that have a slot at hand: limits of a definition or a key, and pauses.

A job that has no room when its turn comes waits near, in memory, if its turn comes again soon; else
it goes to the open table, where it holds neither slot nor offset. Partitions that have such jobs
there are asked for as many as there is room for. Pure.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from typing import Final

from streams.jobs.definition import JobDefinition
from streams.jobs.rate import RateLimit
from streams.worker.attempt import Attempt
from streams.worker.ports import Holder
from streams.worker.rate_windows import use_ms

NEAR_MS: Final = 10_000  # who has to wait for longer than that goes to the open table
NEAR_MIN: Final = 100  # who waits near for a definition's limit, whatever its pace
NEAR_MAX: Final = 5_000
KEYS_NEAR_MIN: Final = 4  # for the limit of one key
KEYS_NEAR_MAX: Final = 1_000  # for the limits of all keys of a definition
FREED_AT_ONCE: Final = 1_000  # of what nothing holds any more

_PACE_MS: Final = 5_000
_ASKS: Final = 10  # a worker asks for a tenth of a rate at a time, so that all get their share

Paused = tuple[str, str]  # a queue, and a definition's name


class Pace:
    """How many start in a second, by what started in the last five to ten seconds."""

    def __init__(self, now: Callable[[], int]) -> None:
        self._now = now
        self._since = now()
        self._count = 0
        self._before = 0

    def start(self) -> None:
        """One starts."""
        self._turn()
        self._count += 1

    def per_second(self) -> float:
        """The pace; it is no more than what was seen, as long as little was."""
        elapsed = self._turn()
        return (self._before + self._count) * 1_000 / (_PACE_MS + elapsed)

    def _turn(self) -> int:
        elapsed = self._now() - self._since
        if not 0 <= elapsed < _PACE_MS:
            self._before = self._count if 0 <= elapsed < 2 * _PACE_MS else 0
            self._count = 0
            self._since = self._now()
            return 0
        return elapsed


@dataclass(slots=True, eq=False)
class Limit:
    """How many of some jobs may run at a time; `most` None: it holds nothing, or not any more."""

    name: str  # as entries have it that are held by it
    now: Callable[[], int]
    reason: str = ""  # for those who ask why
    most: int | None = None
    running: int = 0
    held: deque[Attempt] = field(default_factory=deque)  # near
    coming: int = 0  # of those asked for: they wait for their turn
    asked: dict[Holder, int] = field(default_factory=dict)  # who has more, and how many were asked
    pace: Pace | None = None
    group: _Group | None = None  # of a key: all keys of its definition
    near_ms: int = NEAR_MS

    @property
    def is_full(self) -> bool:
        return self.most is not None and self.running >= self.most

    @property
    def near(self) -> int:
        """How many may wait in memory."""
        if self.most is None:
            return FREED_AT_ONCE
        if not self.most:
            return 0
        soon = 0 if self.pace is None else int(self.pace.per_second() * self.near_ms / 1_000)
        if self.group is not None:
            left = KEYS_NEAR_MAX - self.group.held
            return min(left, max(KEYS_NEAR_MIN, 2 * self.most, soon))
        return min(NEAR_MAX, max(NEAR_MIN, 2 * self.most, soon))

    @property
    def reach(self) -> int:
        """How many are wanted in hand at a time."""
        return self.near

    def keeps_near(self, attempt: Attempt) -> bool:
        """Whether this one may wait in memory: not before others that wait in the table."""
        if self.asked and (attempt.entry is None or attempt.entry.held != self.name):
            return False
        return len(self.held) < self.near

    def start(self, attempt: Attempt) -> None:
        """This one runs."""
        self.running += 1
        if self.pace is not None:
            self.pace.start()

    def hold(self, attempt: Attempt) -> None:
        """Let it wait near."""
        self.held.append(attempt)
        attempt.held_by, attempt.held_since = self, self.now()
        if self.group is not None:
            self.group.held += 1

    def let_go(self) -> Attempt:
        """The first that waits near waits no more."""
        first = self.held.popleft()
        self._forget(first)
        return first

    def remove(self, attempt: Attempt) -> bool:
        """It waits no more; False: it did not wait here."""
        if attempt not in self.held:
            return False
        self.held.remove(attempt)
        self._forget(attempt)
        return True

    def _forget(self, attempt: Attempt) -> None:
        attempt.held_by = None
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


@dataclass(slots=True, eq=False)
class _Group:
    held: int = 0


@dataclass(slots=True, eq=False)
class Rate(Limit):
    """So many start in a window of time, in the whole cluster; starts are asked for, see `Rates`.

    What was asked for and is not used in time is lost: so no more is asked for than can start.
    """

    per_ms: int = 0
    runs_in: str = "loop"
    starts: deque[tuple[int, int]] = field(default_factory=deque)  # (use by, how many)
    is_asking: bool = False
    reserved: int = 0  # slots that are kept free for the answer
    next_at: int = 0  # when it is worth asking again, by `elapsed`
    elapsed: Callable[[], int] = lambda: 0

    @property
    def is_full(self) -> bool:
        return not self.available

    @property
    def available(self) -> int:
        """How many may start now."""
        if not self.starts:
            return 0
        now = self.elapsed()
        while self.starts and self.starts[0][0] < now:
            self.starts.popleft()
        return sum(count for _, count in self.starts)

    @property
    def near(self) -> int:
        most = self.most or 0
        return min(NEAR_MAX, max(1, most * self.near_ms // self.per_ms)) if self.near_ms else 0

    @property
    def reach(self) -> int:
        return max(self.near, self.available)

    def start(self, attempt: Attempt) -> None:
        """It uses one up."""
        Limit.start(self, attempt)
        use_by, count = self.starts.popleft()
        if count > 1:
            self.starts.appendleft((use_by, count - 1))
        attempt.start_by = use_by

    def wanted(self, free: int) -> int:
        """How many to ask for now, if so many slots are free; 0: none."""
        if self.is_asking or not self.most or self.elapsed() < self.next_at:
            return 0
        waiting = len(self.held) + self.coming - self.available
        if self.asked and not self.near:
            waiting += 1  # none of them comes without
        soon = 0 if self.pace is None else int(self.pace.per_second() * use_ms(self.per_ms) / 2_000)
        return max(0, min(waiting, -(-self.most // _ASKS), max(2 * free, soon) if free > 0 else 0))

    @property
    def is_waited_for(self) -> bool:
        """Whether a job waits for it, here or in the table."""
        return bool(self.held or self.coming or self.asked)


class Limits:
    """All limits of one worker, by name; those that nobody needs are forgotten."""

    def __init__(
        self,
        now: Callable[[], int] = lambda: 0,
        elapsed: Callable[[], int] = lambda: 0,
        near_ms: int = NEAR_MS,
    ) -> None:
        self.paused: Collection[Paused] = ()  # of which nothing starts
        self._now = now
        self._elapsed = elapsed
        self._near_ms = near_ms
        self._limits: dict[str, Limit] = {}
        self._stored: dict[str, Limit] = {}  # those of which jobs are in an open table
        self._groups: dict[str, _Group] = {}
        self.rates: dict[str, Rate] = {}

    def of(self, attempt: Attempt) -> Sequence[Limit]:
        """Those that a job has to pass, in order."""
        definition = attempt.definition
        if not definition.is_limited and not self.paused:
            return ()
        return self._of(definition, attempt.job.ordering_key, attempt.queue)

    def _of(self, definition: JobDefinition, key: str | None, queue: str) -> Sequence[Limit]:
        name = definition.name
        limits = []
        if self.paused and (queue, name) in self.paused:
            limits.append(self._limit(_pause(queue, name), 0, f"{name} is paused"))
        if (most := definition.concurrency) is not None:
            why = f"{most} of {name} run in this worker, as many as its concurrency allows"
            limits.append(self._limit(f"concurrency:{name}", most, why))
        if (most := definition.key_concurrency) is not None and key is not None:
            why = f"{most} of {name} with this key run, as many as its key_concurrency allows"
            group = self._groups.setdefault(name, _Group())
            limits.append(self._limit(f"key:{name}:{key}", most, why, group))
        if (rate := definition.rate_limit) is not None:
            limits.append(self._rate(definition, rate))
        return limits

    def _rate(self, definition: JobDefinition, rate: RateLimit) -> Rate:
        name = f"rate:{definition.name}"
        limit = self.rates.get(name)
        if limit is None:
            limit = Rate(
                name=name,
                now=self._now,
                reason=f"{definition.name} starts {rate.max} times in {rate.per} at most",
                most=rate.max,
                pace=Pace(self._now),
                per_ms=rate.per_ms,
                near_ms=self._near_ms,
                runs_in=definition.runs_in,
                elapsed=self._elapsed,
            )
            self.rates[name] = self._limits[name] = limit
        return limit

    def _limit(self, name: str, most: int, why: str, group: _Group | None = None) -> Limit:
        limit = self._limits.get(name)
        if limit is None:
            limit = self._limits[name] = Limit(name, self._now)
        if limit.most is None:
            limit.most, limit.reason, limit.group = most, why, group
            limit.pace = Pace(self._now)
        return limit

    def hold(
        self,
        name: str,
        holder: Holder,
        definition: JobDefinition | None,
        key: str | None,
        queue: str,
    ) -> None:
        """A partition of this queue has a job in its open table that this limit holds."""
        if definition is not None:
            self._of(definition, key, queue)  # so that it has its bound
        limit = self._limits.get(name)
        if limit is None:
            limit = self._limits[name] = Limit(name, self._now)
        limit.asked.setdefault(holder, 0)
        self._stored[name] = limit

    def brought(self, name: str, holder: Holder, *, has_more: bool) -> None:
        """It has brought what it was asked for, or all that it has."""
        limit = self._stored.get(name)
        if limit is None or holder not in limit.asked:
            return
        if has_more:
            limit.asked[holder] = 0
        else:
            self._have_no_more(limit, holder)

    def withdraw(self, holder: Holder) -> None:
        """The partition is not ours any more."""
        for limit in list(self._stored.values()):
            if holder in limit.asked:
                self._have_no_more(limit, holder)

    def _have_no_more(self, limit: Limit, holder: Holder) -> None:
        del limit.asked[holder]
        if not limit.asked:
            del self._stored[limit.name]
            self.forget(limit)

    def come(self, attempt: Attempt) -> None:
        """A job waits for its turn that comes from an open table, where a limit held it."""
        held = None if attempt.entry is None else attempt.entry.held
        if held is not None and attempt.was_opened and (limit := self._limits.get(held)):
            limit.coming += 1
            attempt.comes_for = limit

    def arrive(self, attempt: Attempt) -> None:
        """It has its turn, or waits no more."""
        limit: Limit | None = attempt.comes_for
        if limit is not None:
            attempt.comes_for = None
            limit.coming -= 1
            self.forget(limit)

    def pause(self, definitions: Collection[Paused]) -> None:
        """Let nothing of these pass."""
        for queue, name in set(self.paused) - set(definitions):
            limit = self._limits.get(_pause(queue, name))
            if limit is not None:
                limit.most = None
                self.forget(limit)
        self.paused = definitions

    def ask(self) -> Sequence[tuple[Holder, str, int]]:
        """Whom to ask for how many of what, since there may be room."""
        if not self._stored:
            return ()
        return [
            (holder, limit.name, count)
            for limit in self._stored.values()
            for holder, count in limit.ask()
        ]

    def forget(self, limit: Limit) -> None:
        """Forget a limit that nobody needs."""
        if limit.running or limit.held or limit.asked or limit.coming:
            return
        if limit.most and limit.group is None:
            return  # of a definition: what its pace is goes on to matter
        self._limits.pop(limit.name, None)


def _pause(queue: str, name: str) -> str:
    return f"pause:{queue}:{name}"
