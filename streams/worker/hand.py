"""The jobs of one partition that are in hand: of each key one runs, the others wait behind it."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from streams.jobs.definition import JobDefinition
from streams.jobs.outcome import Outcome
from streams.worker.attempt import Attempt
from streams.worker.ports import Executor, Hears, Holder
from streams.worker.singles import Singles


@dataclass(slots=True)
class Lane:
    """The jobs of one key that are in hand."""

    running: list[Attempt] = field(default_factory=list)  # several if they run in one call
    waiting: deque[Attempt] = field(default_factory=deque)


class Hand:
    """What was admitted and is not settled.

    A key's jobs wait here only as long as none of its jobs is in the open table and blocks; as
    soon as one is, those that wait are given back, to be parked behind it.
    """

    def __init__(
        self,
        executor: Executor,
        done: Callable[[Attempt, Outcome], None],
        hears: Hears | None = None,
        holder: Holder | None = None,
    ) -> None:
        self.opened = 0  # those that came from the open table
        self.overdue = 0  # those of them that should have started long ago
        self.bytes = 0  # of their payloads
        self.paused = False  # nothing starts
        self.singles = Singles()  # those of them that others like them give way to
        self._executor = executor
        self._done = done
        self._hears = hears
        self._holder = holder  # of what limits hold in the open table
        self._jobs: dict[bytes, Attempt] = {}
        self._lanes: dict[bytes, Lane] = {}

    def __len__(self) -> int:
        return len(self._jobs)

    def __iter__(self) -> Iterator[Attempt]:
        return iter(list(self._jobs.values()))

    def __contains__(self, state_key: bytes) -> bool:
        return state_key in self._jobs

    def get(self, state_key: bytes) -> Attempt | None:
        """The attempt of a job, if it is in hand."""
        return self._jobs.get(state_key)

    def has_lane(self, lane: bytes) -> bool:
        """Whether a job of this key is in hand."""
        return lane in self._lanes

    def before(self, attempt: Attempt) -> Sequence[Attempt]:
        """Those of its key that run in the same call, and came before it."""
        lane = None if attempt.lane is None else self._lanes.get(attempt.lane)
        if lane is None or attempt not in lane.running:
            return ()
        return lane.running[: lane.running.index(attempt)]

    def take(self, attempt: Attempt) -> None:
        """Start a job, or let it wait behind the one of its key that runs."""
        self._jobs[attempt.state_key] = attempt
        self.opened += attempt.was_opened
        self.overdue += attempt.is_overdue
        self.bytes += len(attempt.envelope.payload)
        self.singles.put(attempt)
        if attempt.lane is None:
            self._start(attempt)
            return
        lane = self._lanes.get(attempt.lane)
        if lane is None:
            self._lanes[attempt.lane] = Lane([attempt])
            self._start(attempt)
            return
        lane.waiting.append(attempt)
        self._let_join(lane)
        if lane.waiting and lane.running and lane.running[-1].is_over:
            self.pass_on(lane.running[-1])

    def pass_on(self, attempt: Attempt) -> None:
        """Its job has ended for good, whatever is decided next: the next of its key starts now.

        It stays in hand until it is put down. So a key is not held up by a write for each job.
        """
        attempt.is_over = True
        lane = None if attempt.lane is None else self._lanes.get(attempt.lane)
        if lane is None or attempt not in lane.running or not lane.waiting or self.paused:
            return
        if all(each.is_over for each in lane.running):
            for each in lane.running:
                each.passed_on = True
            self._start_next(lane)

    def put_down(self, attempt: Attempt, *, is_blocked: bool) -> Sequence[Attempt]:
        """Its outcome is decided: the next of its key starts, unless the key is blocked now.

        Then what waited is returned: it is no longer in hand.
        """
        self._forget(attempt)
        if attempt.lane is None or attempt.passed_on:
            return ()
        lane = self._lanes[attempt.lane]
        if attempt not in lane.running:
            lane.waiting.remove(attempt)
            self._drop_if_empty(attempt.lane)
            return ()
        lane.running.remove(attempt)
        followers = self._give_back(lane) if is_blocked else ()
        if lane.waiting and not lane.running and not self.paused:
            self._start_next(lane)
        self._drop_if_empty(attempt.lane)
        return followers

    def give_back(self, lane_key: bytes) -> Sequence[Attempt]:
        """What waits behind the running job of a key; it is no longer in hand."""
        lane = self._lanes.get(lane_key)
        if lane is None:
            return ()
        followers = self._give_back(lane)
        self._drop_if_empty(lane_key)
        return followers

    def resume(self) -> None:
        """Go on after a pause."""
        self.paused = False
        for lane in self._lanes.values():
            if lane.waiting and not lane.running:
                self._start_next(lane)

    def abandon(self) -> None:
        """Interrupt everything; nobody is told."""
        for attempt in self:
            self._executor.abandon(attempt)
        if self._holder is not None:
            self._executor.withdraw(self._holder)

    def enter(self, attempt: Attempt, starts: Iterable[int]) -> None:
        """See `Executor.enter`."""
        if self._holder is not None:
            self._executor.enter(attempt, starts, self._holder)

    def leave(self, attempt: Attempt) -> None:
        """See `Executor.leave`."""
        self._executor.leave(attempt)

    def hold(
        self, limit: str, definition: JobDefinition | None, key: str | None, queue: str
    ) -> None:
        """See `Executor.hold`."""
        if self._holder is not None:
            self._executor.hold(limit, self._holder, definition, key, queue)

    def brought(self, limit: str, *, has_more: bool) -> None:
        """See `Executor.brought`."""
        if self._holder is not None:
            self._executor.brought(limit, self._holder, has_more=has_more)

    def take_back(self, attempt: Attempt) -> bool:
        """Whether an attempt has not begun, and does not either, until it is put down."""
        return not attempt.submitted or self._executor.take_back(attempt)

    def cancel(self, attempt: Attempt, reason: str) -> None:
        """Interrupt an attempt that was submitted; its outcome comes as any other's."""
        self._executor.cancel(attempt, reason)

    def _give_back(self, lane: Lane) -> Sequence[Attempt]:
        followers = list(lane.waiting)
        lane.waiting.clear()
        for follower in followers:
            self._forget(follower)
        return followers

    def _drop_if_empty(self, lane_key: bytes) -> None:
        lane = self._lanes[lane_key]
        if not lane.running and not lane.waiting:
            del self._lanes[lane_key]

    def _forget(self, attempt: Attempt) -> None:
        del self._jobs[attempt.state_key]
        self.opened -= attempt.was_opened
        self.overdue -= attempt.is_overdue
        self.bytes -= len(attempt.envelope.payload)
        self.singles.drop(attempt)

    def _start_next(self, lane: Lane) -> None:
        lane.running = [lane.waiting.popleft()]
        self._start(lane.running[0])
        self._let_join(lane)

    def _let_join(self, lane: Lane) -> None:
        """Those that can run in the same call as what is to run next need not wait for its end."""
        while lane.waiting and lane.running and lane.running[0].definition.batch is not None:
            if self.paused or not self._executor.joins(lane.running[0], lane.waiting[0]):
                return
            lane.running.append(lane.waiting.popleft())
            self._start(lane.running[-1])

    def _start(self, attempt: Attempt) -> None:
        attempt.submitted = True
        self._executor.submit(attempt, self._done, self._hears)
