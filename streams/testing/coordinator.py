"""The coordinator of a consumer group, as Kafka's is: eager rebalances, generations, sessions."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from enum import Enum
from itertools import count
from typing import Final

from streams.testing.memory import MemoryAlarm, MemoryClock

SESSION_MS: Final = 10_000
REBALANCE_MS: Final = 60_000  # for how long members may take to rejoin

Partition = tuple[str, int]  # topic and number
Joined = tuple[int, frozenset[Partition]]


class Answer(Enum):
    """What a member is told."""

    OK = "ok"
    REBALANCE = "rebalance"
    UNKNOWN = "unknown"


@dataclass(eq=False, slots=True)
class Member:
    """One worker as the coordinator knows it."""

    id: int
    name: str
    told: Callable[[], None]  # there is a rebalance: its next heartbeat will say so
    joining: asyncio.Future[Joined] | None = None
    partitions: frozenset[Partition] = frozenset()
    expiry: MemoryAlarm | None = None


@dataclass(slots=True)
class Coordinator:
    """Assigns partitions over members; whoever is silent for a session is out."""

    clock: MemoryClock
    partitions: list[Partition]
    rng: random.Random | None = None  # None: every assignment is as even and as sticky as it gets
    generation: int = 0
    commits: dict[Partition, int] = field(default_factory=dict)
    owners: dict[Partition, Member] = field(default_factory=dict)
    on_commit: Callable[[Partition, int, int], None] = lambda place, before, after: None
    on_generation: Callable[[], None] = lambda: None
    _members: dict[int, Member] = field(default_factory=dict)
    _ids: Iterable[int] = field(default_factory=lambda: count(1))
    _preparing: MemoryAlarm | None = None

    @property
    def is_stable(self) -> bool:
        """Whether no rebalance is under way."""
        return self._preparing is None

    def enter(self, name: str, told: Callable[[], None]) -> Member:
        """A member that is new; it has to join."""
        return Member(next(iter(self._ids)), name, told)

    def join(self, member: Member) -> asyncio.Future[Joined]:
        """Ask for the next generation; answered once everybody has asked."""
        self._members[member.id] = member
        self._unwatch(member)
        member.joining = asyncio.get_running_loop().create_future()
        answer = member.joining
        self.rebalance()
        self._complete_if_all_joined()
        return answer

    def sync(self, member: Member, generation: int) -> Answer:
        """Confirm a generation: from here on silence counts."""
        if self._members.get(member.id) is not member:
            return Answer.UNKNOWN
        self._unwatch(member)
        return Answer.OK if generation == self.generation and self.is_stable else Answer.REBALANCE

    def heartbeat(self, member: Member) -> Answer:
        """A sign of life."""
        if self._members.get(member.id) is not member:
            return Answer.UNKNOWN
        self._unwatch(member)
        return Answer.OK if self.is_stable else Answer.REBALANCE

    def heard(self, member: Member) -> None:
        """A member is alive: its heartbeats, which nobody counts, go on."""
        if self._members.get(member.id) is member:
            self._unwatch(member)

    def silent_since(self, member: Member, when: int) -> None:
        """Nothing is heard of a member any more: its session ends unless it comes back."""
        known = self._members.get(member.id) is member
        if known and member.joining is None and member.expiry is None:
            self._watch(member, when)

    def leave(self, member: Member) -> None:
        """A member goes."""
        if self._members.pop(member.id, None) is not None:
            self._unwatch(member)
            self.rebalance()
            self._complete_if_all_joined()

    def rebalance(self) -> None:
        """Begin a rebalance, unless one is under way."""
        if self._preparing is not None:
            return
        self._preparing = self.clock.call_at(self.clock.now() + REBALANCE_MS, self._expel_late)
        for member in list(self._members.values()):
            if member.joining is None:
                member.told()

    def commit(self, member: Member, generation: int, place: Partition, offset: int) -> bool:
        """Keep an offset; False if the member is of another generation."""
        if self._members.get(member.id) is not member or generation != self.generation:
            return False
        before = self.commits.get(place, 0)
        self.on_commit(place, before, offset)
        self.commits[place] = offset
        return True

    def owner(self, place: Partition) -> Member | None:
        """Whose a partition is."""
        return self.owners.get(place)

    def _watch(self, member: Member, since: int) -> None:
        self._unwatch(member)
        member.expiry = self.clock.call_at(since + SESSION_MS, lambda: self._expire(member))

    @staticmethod
    def _unwatch(member: Member) -> None:
        if member.expiry is not None:
            member.expiry.cancel()
            member.expiry = None

    def _expire(self, member: Member) -> None:
        if self._members.pop(member.id, None) is not None:
            self.rebalance()
            self._complete_if_all_joined()

    def _expel_late(self) -> None:
        for member in list(self._members.values()):
            if member.joining is None:
                self._unwatch(member)
                del self._members[member.id]
        self._complete()

    def _complete_if_all_joined(self) -> None:
        if all(member.joining is not None for member in self._members.values()):
            self._complete()

    def _complete(self) -> None:
        if self._preparing is not None:
            self._preparing.cancel()
            self._preparing = None
        self.generation += 1
        self.owners = self._assign(list(self._members.values()))
        for member in self._members.values():
            mine = [place for place, owner in self.owners.items() if owner is member]
            member.partitions = frozenset(mine)
            answer, member.joining = member.joining, None
            self._watch(member, self.clock.now())
            if answer is not None and not answer.done():
                answer.set_result((self.generation, member.partitions))
        self.on_generation()

    def _assign(self, members: list[Member]) -> dict[Partition, Member]:
        """As even as it gets; who had a partition keeps it, unless chance says otherwise."""
        if not members:
            return {}
        most = -(-len(self.partitions) // len(members))
        shuffled = self.rng is not None and self.rng.random() < 0.6
        owners: dict[Partition, Member] = {}
        load = dict.fromkeys(members, 0)
        for place in () if shuffled else self.partitions:
            before = self.owners.get(place)
            if before in load and load[before] < most:
                owners[place] = before
                load[before] += 1
        rest = [place for place in self.partitions if place not in owners]
        if self.rng is not None:
            self.rng.shuffle(rest)
        for place in rest:
            member = min(members, key=load.__getitem__)
            owners[place] = member
            load[member] += 1
        return {place: owners[place] for place in self.partitions}
