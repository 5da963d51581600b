"""What the oracle knows: jobs, the attempts at them, the keys they share, who owns a partition."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from streams.testing.coordinator import Partition
from streams.testing.process import Life, Process
from streams.testing.workload import Work

OVER = frozenset({"completed", "discarded", "cancelled", "expired"})


@dataclass(eq=False, slots=True)
class Epoch:
    """One opening of a partition by one worker."""

    process: Process
    place: Partition
    is_owned: Callable[[], bool]
    commands_taken: Callable[[], int]  # behind the last one that it knew when it began, or obeyed
    closed: bool = False

    @property
    def is_current(self) -> bool:
        """Whether what happens in it counts."""
        return not self.closed and self.process.state is not Life.DEAD and self.is_owned()


@dataclass(eq=False, slots=True)
class Watched:
    """One job: what the schedule wants of it, and how far it is, as its topics say."""

    id: str
    n: int
    work: Work
    kind: str = "keyed"
    lane: tuple[str, int] | None = None
    plain: bool = True  # in order with its lane: not delayed, snoozed aside, replayed, ...
    not_before: int = 0
    start_at: int | None = None  # when it is to start, as somebody said last
    expires: int | None = None
    cancelled: bool = False  # somebody asks for it at some time
    must_cancel: bool = False
    may_be_purged: bool = False
    was_purged: bool = False
    disturbed: bool = False  # an attempt failed of what the schedule did, not of its own act
    times: list[int] = field(default_factory=list)  # of each enqueueing that is no copy
    place: Partition = ("", 0)
    arrival: int = -1
    state: str = ""
    time: int = 0
    generation: int = 0
    due: int | None = None
    is_supposed: bool = False  # running, but nobody has seen it run
    is_stirred: bool = False  # an attempt began, of which nothing is durable yet
    decided: Epoch | None = None  # in which its end is decided, durable or not
    attempts: int = 0
    replays: set[int] = field(default_factory=set)  # generations that somebody asked to replay
    killed: int = 0  # processes that ended while it ran
    asked: dict[int, int] = field(default_factory=dict)  # time -> the last part of a checkpoint
    kept: dict[int, int] = field(default_factory=dict)  # likewise, and it is durable
    discards: set[int] = field(default_factory=set)  # and to discard; either may come first

    @property
    def settled(self) -> bool:
        """Durably over, or dead."""
        return self.state in OVER or self.state == "dead"

    @property
    def may_vanish(self) -> bool:
        """Whether it may end without an attempt that says so."""
        return self.cancelled or self.may_be_purged or self.expires is not None

    @property
    def has_run(self) -> bool:
        """Whether it runs, durably, or is known to have run when its worker ended."""
        return self.state == "running" and not self.is_supposed

    @property
    def waits(self) -> bool:
        """Whether it waits for all that its topics say, if no attempt of it runs."""
        return not self.settled and not self.has_run and not self.is_stirred

    @property
    def ordering_key(self) -> str | None:
        """The key that it shares with others, as it crosses the wire."""
        return None if self.lane is None else f"{self.lane[0]}:{self.lane[1]}"


@dataclass(eq=False, slots=True)
class Run:
    """An attempt that is being made."""

    job: Watched
    epoch: Epoch
    blamed: bool = False  # for the end of its process


@dataclass(slots=True)
class Lane:
    """The jobs of one key in order of arrival."""

    jobs: list[Watched] = field(default_factory=list)
    runs: list[Run] = field(default_factory=list)
    settled_to: int = -1  # the highest arrival of a plain job that is settled
    unsettled: int = 0  # index of the first job that may not be settled
