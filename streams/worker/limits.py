"""What holds jobs back that have a slot at hand: limits of a definition or a key, and pauses.

A job that has no room when its turn comes waits near, in memory, if its turn comes again soon; else
it goes to the open table, where it holds neither slot nor offset. Partitions that have such jobs
there are asked for as many as there is room for. Pure.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from heapq import heappop, heappush
from itertools import count, islice
from typing import Final

from streams.durations import to_ms
from streams.jobs.breaker import Breaker
from streams.jobs.definition import JobDefinition
from streams.jobs.rate import RateLimit
from streams.worker.attempt import Attempt
from streams.worker.circuit import Circuit
from streams.worker.cluster_rate import Rate
from streams.worker.cluster_slots import ClusterSlots
from streams.worker.fair import Fair, Share
from streams.worker.key_rate import IdleKeys, KeyRate
from streams.worker.limit import NEAR_MS, Group, Limit
from streams.worker.pace import Pace
from streams.worker.ports import Holder

_TENANT: Final = "tenant:"
LEASE_MS: Final = 30_000  # of slots of the cluster; longer than a session

Paused = tuple[str, str]  # a queue, and a definition's name


class Limits:
    """All limits of one worker, by name; those that nobody needs are forgotten."""

    def __init__(
        self,
        now: Callable[[], int] = lambda: 0,
        elapsed: Callable[[], int] = lambda: 0,
        near_ms: int = NEAR_MS,
        worker: str = "",
        lease_ms: int = LEASE_MS,
    ) -> None:
        self.paused: Collection[Paused] = ()  # of which nothing starts
        self._now = now
        self._elapsed = elapsed
        self._near_ms = near_ms
        self._limits: dict[str, Limit] = {}
        self._same: dict[str, tuple[Limit, ...]] = {}  # of all jobs of a definition, whatever key
        self._stored: dict[str, Limit] = {}  # those of which jobs are in an open table
        # Those of them that may have room. Of limits of keys and tenants there may be very many:
        # they come here when something changed, and are not gone through at each start.
        self._to_ask: dict[str, Limit] = {}
        self._groups: dict[str, Group] = {}
        self._idle_keys = IdleKeys()
        self._fairs: dict[tuple[str, str], Fair] = {}
        self._worker = worker  # this process, and no other
        self._lease_ms = lease_ms  # of slots of the cluster
        self.on_breaker_closed: Callable[[str], None] = lambda name: None
        self.of_cluster: dict[str, Rate | ClusterSlots] = {}  # those that are asked for
        self._looks: list[tuple[int, int, Limit]] = []  # a heap: when, and at what
        self._order = count()

    def of(self, attempt: Attempt) -> Sequence[Limit]:
        """Those that a job has to pass, in order."""
        definition = attempt.definition
        if self.paused:
            return self._of(definition, attempt.job.ordering_key, attempt.queue)
        same = self._same.get(definition.name)
        if same is not None:  # it is asked several times for each job
            return same if attempt.key_rate is None else (*same, attempt.key_rate)
        if not definition.is_limited:
            self._same[definition.name] = ()
            return ()
        limits = self._of(definition, attempt.job.ordering_key, attempt.queue)
        if definition.key_concurrency is None:
            self._same[definition.name] = tuple(each for each in limits if each.group is None)
        return limits

    def _of(self, definition: JobDefinition, key: str | None, queue: str) -> Sequence[Limit]:
        name = definition.name
        limits = []
        if self.paused and (queue, name) in self.paused:
            limits.append(self._limit(_pause(queue, name), 0, f"{name} is paused"))
        if (breaker := definition.breaker) is not None:
            limits.append(self._circuit(name, breaker))
        if (most := definition.concurrency) is not None:
            why = f"{most} of {name} run in this worker, as many as its concurrency allows"
            limits.append(self._limit(f"concurrency:{name}", most, why))
        if (most := definition.cluster_concurrency) is not None:
            limits.append(self._cluster_slots(definition, most))
        if (most := definition.key_concurrency) is not None and key is not None:
            group = self._group(f"key:{name}")
            if not group.reason:
                why = f"{most} of {name} with this key run, as many as its key_concurrency allows"
                group.reason = why
            limits.append(self._limit(f"key:{name}:{key}", most, group.reason, group))
        if (rate := definition.rate_limit) is not None:
            if rate.by is None:
                limit = self._rate(definition, rate)
                limit.beside = [each for each in limits if each.most and each.group is None]
                limits.append(limit)
            elif key is not None:
                limits.append(self._key_rate(definition, rate, key, queue))
        return limits

    def _circuit(self, of_name: str, breaker: Breaker) -> Limit:
        name = f"breaker:{of_name}"
        limit = self._limits.get(name)
        if limit is None:
            limit = self._limits[name] = Circuit(
                name,
                self._now,
                of_name=of_name,
                share=breaker.failures,
                of=breaker.of,
                pause_ms=to_ms(breaker.pause),
                at_most_ms=to_ms(breaker.at_most),
                on_closed=lambda name: self.on_breaker_closed(name),
            )
        return limit

    def _key_rate(
        self, definition: JobDefinition, rate: RateLimit, key: str, queue: str
    ) -> KeyRate:
        of_all = f"rate:{queue}:{definition.name}"
        name = f"{of_all}:{key}"
        limit = self._limits.get(name)
        if limit is None:
            group = self._group(of_all)
            if not group.reason:
                starts = f"{definition.name} starts {rate.max} times"
                group.reason = f"{starts} in {rate.per} for a key at most"
            limit = self._limits[name] = KeyRate(
                name,
                self._now,
                group.reason,
                rate.max,
                group=group,
                near_ms=self._near_ms,
                per_ms=rate.per_ms,
            )
            self._idle_keys.restore(limit)
        assert isinstance(limit, KeyRate)
        return limit

    def enter(self, attempt: Attempt, starts: Iterable[int], holder: Holder) -> None:
        """See `Executor.enter`."""
        rate, key = attempt.definition.rate_limit, attempt.job.ordering_key
        assert rate is not None and key is not None
        limit = self._key_rate(attempt.definition, rate, key, attempt.queue)
        limit.holder = holder
        limit.enter(attempt, starts)

    def leave(self, attempt: Attempt) -> None:
        """See `Executor.leave`."""
        limit = attempt.key_rate
        if limit is not None:
            limit.leave(attempt)
            self.forget(limit)

    def fair(self, attempt: Attempt) -> Fair | None:
        """Where jobs of its definition wait by tenant, if they do."""
        definition = attempt.definition
        if definition.fair_by is None:
            return None
        of = (attempt.queue, definition.name)
        fair = self._fairs.get(of)
        if fair is None:
            fair = self._fairs[of] = Fair(attempt.queue, definition.fair_by)
        return fair

    def share(self, attempt: Attempt, tenant: str) -> Share:
        """The tenant of a job."""
        return self._share(attempt.queue, attempt.definition, tenant)

    def _share(self, queue: str, definition: JobDefinition, tenant: str) -> Share:
        of = f"{_TENANT}{queue}:{definition.name}"
        name = f"{of}:{tenant}"
        limit = self._limits.get(name)
        if not isinstance(limit, Share):
            why = "others of its tenant come first, in turn with those of other tenants"
            limit = self._limits[name] = Share(name, self._now, why, group=self._group(of))
        return limit

    def _group(self, of: str) -> Group:
        """That of all keys, or tenants, of a definition."""
        group = self._groups.get(of)
        if group is None:
            group = self._groups[of] = Group()
        return group

    def look_later(self, limit: Limit) -> None:
        """A job waits for a limit: if it has room at some time, somebody must look then."""
        if limit.look_at is not None:
            return
        at = limit.free_at
        if at is not None and limit.is_full:
            limit.look_at = at
            heappush(self._looks, (at, next(self._order), limit))

    def next_look(self) -> int | None:
        """When to look again, in ms since the epoch; None: nobody waits for a time."""
        while self._looks and self._looks[0][2].is_idle:
            heappop(self._looks)[2].look_at = None
        return self._looks[0][0] if self._looks else None

    def let_go(self) -> Iterator[Attempt | Fair]:
        """Those that waited near for a limit that has room by now."""
        now = self._now()
        while self._looks and self._looks[0][0] <= now:
            limit = heappop(self._looks)[2]
            limit.look_at = None
            for _ in range(min(limit.room, len(limit.held))):
                yield limit.let_go()
            if limit.held or limit.asked:
                self.look_later(limit)
            self._ask_soon(limit)

    def _cluster_slots(self, definition: JobDefinition, most: int) -> Limit:
        name = f"slots:{definition.name}"
        limit = self._limits.get(name)
        if limit is None:
            limit = self._limits[name] = self.of_cluster[name] = ClusterSlots(
                name=name,
                now=self._now,
                reason=f"{most} of {definition.name} run in the cluster, as many as its "
                "cluster_concurrency allows",
                most=most,
                pace=Pace(self._now),
                near_ms=self._near_ms,
                worker=self._worker,
                lease_ms=self._lease_ms,
                runs_in=definition.runs_in,
                queue=definition.queue,
                elapsed=self._elapsed,
            )
        return limit

    def _rate(self, definition: JobDefinition, rate: RateLimit) -> Rate:
        name = f"rate:{definition.name}"
        limit = self._limits.get(name)
        if limit is None:
            limit = self._limits[name] = self.of_cluster[name] = Rate(
                name=name,
                now=self._now,
                reason=f"{definition.name} starts {rate.max} times in {rate.per} at most",
                most=rate.max,
                pace=Pace(self._now),
                per_ms=rate.per_ms,
                near_ms=self._near_ms,
                runs_in=definition.runs_in,
                queue=definition.queue,
                elapsed=self._elapsed,
            )
        assert isinstance(limit, Rate)
        return limit

    def _limit(self, name: str, most: int, why: str, group: Group | None = None) -> Limit:
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
            of = f"{_TENANT}{queue}:{definition.name}:"
            if name.startswith(of):
                self._share(queue, definition, name[len(of) :])
        limit = self._limits.get(name)
        if limit is None:
            limit = self._limits[name] = Limit(name, self._now)
        limit.asked.setdefault(holder, 0)
        self.look_later(limit)
        self._stored[name] = limit
        self._ask_soon(limit)

    def brought(self, name: str, holder: Holder, *, has_more: bool) -> None:
        """It has brought what it was asked for, or all that it has."""
        limit = self._stored.get(name)
        if limit is None or holder not in limit.asked:
            return
        if has_more:
            limit.asked[holder] = 0
            self.look_later(limit)
            self._ask_soon(limit)
        else:
            self._have_no_more(limit, holder)

    def withdraw(self, holder: Holder) -> None:
        """The partition is not ours any more."""
        for limit in list(self._stored.values()):
            if holder in limit.asked:
                self._have_no_more(limit, holder)
        for name, limit in list(self._limits.items()):
            if isinstance(limit, KeyRate) and limit.holder is holder:
                del self._limits[name]  # another worker may start jobs of its key
        self._idle_keys.withdraw(holder)

    def _have_no_more(self, limit: Limit, holder: Holder) -> None:
        del limit.asked[holder]
        if not limit.asked:
            del self._stored[limit.name]
            self._to_ask.pop(limit.name, None)
            if limit.group is not None:
                limit.group.short.pop(limit.name, None)
            self.forget(limit)

    def come(self, attempt: Attempt) -> None:
        """A job waits for its turn; a limit may have held it in an open table before."""
        held = None if attempt.entry is None else attempt.entry.held
        if held is not None and (limit := self._limits.get(held)):
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

    def end(self) -> None:
        """Keep nothing of the cluster but what runs: nothing starts here any more."""
        for limit in self.of_cluster.values():
            if isinstance(limit, ClusterSlots):
                limit.is_ending = True

    def told(self) -> Iterator[dict[str, str | None]]:
        """Which jobs wait near, and for what: for those who ask why; one of each limit."""
        for limit in self._limits.values():
            # The turn of a tenant may be kept here though its last job was cancelled.
            if limit.held and limit.held[0] and limit.reason:
                first = limit.held[0]
                attempt = first if isinstance(first, Attempt) else first.first()
                key = None if limit.group is None else attempt.job.ordering_key
                yield {"name": attempt.job.name, "key": key, "reason": limit.reason}

    def held_near(self) -> Counter[str]:
        """How many jobs wait near, by queue; a tenant's turn counts as one."""
        found: Counter[str] = Counter()
        for limit in self._limits.values():
            if not isinstance(limit, Share):  # these only wait for their turn
                for waiting in limit.held:
                    found[waiting.queue] += 1
        return found

    @property
    def are_looked_at(self) -> bool:
        """Whether there is anything to ask for, or to wait for."""
        return bool(self._stored or self.of_cluster or self._looks)

    def ask(self) -> Sequence[tuple[Holder, str, int]]:
        """Whom to ask for how many of what, since there may be room."""
        if not self._stored:
            return ()
        for group in self._groups.values():
            for name in list(islice(group.short, max(0, group.left))):
                self._to_ask[name] = group.short.pop(name)
        found = []
        for name, limit in list(self._to_ask.items()):
            asked = limit.ask()
            found += [(holder, name, count) for holder, count in asked]
            if limit.is_one_of_many:
                del self._to_ask[name]
                if not asked and not limit.reach and limit.group is not None:
                    limit.group.short[name] = limit  # others of its group take up all the room
        return found

    def _ask_soon(self, limit: Limit) -> None:
        if limit.asked:
            self._to_ask[limit.name] = limit

    def forget(self, limit: Limit) -> None:
        """Something about it changed: forget it if nobody needs it."""
        if not limit.is_idle:
            self._ask_soon(limit)
            return
        if limit.most and limit.group is None:
            return  # of a definition: what its pace is goes on to matter
        if isinstance(limit, KeyRate):
            self._idle_keys.keep(limit)
        self._limits.pop(limit.name, None)


def _pause(queue: str, name: str) -> str:
    return f"pause:{queue}:{name}"
