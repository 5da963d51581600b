"""One partition of a queue while this worker owns it: all that its parts look at."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from streams.jobs.identity import JobKey
from streams.jobs.lifecycle import Happening, LifecycleEvent
from streams.jobs.registry import Registry
from streams.wire.state import OpenEntry
from streams.worker.attempt import Attempt
from streams.worker.hand import Hand
from streams.worker.key_rate import SKEW_MS
from streams.worker.queue_end import QueueEnd
from streams.worker.settlement import Place, Settlement
from streams.worker.starts import read_starts
from streams.worker.suspects import Suspicion
from streams.worker.tables import Tables
from streams.worker.watermark import Watermark


@dataclass(frozen=True, slots=True, kw_only=True)
class Owned:
    """Where it is, what its jobs are, its durable state, and what is in hand."""

    place: Place
    registry: Registry
    tables: Tables
    watermark: Watermark
    hand: Hand
    suspicion: Suspicion
    queue_end: QueueEnd = field(default_factory=QueueEnd)

    def entry(self, state_key: bytes, settlement: Settlement) -> OpenEntry | None:
        """A job's entry as it will be once this turn is settled."""
        if state_key in settlement.closes:
            return None
        return settlement.opens.get(state_key) or self.tables.open(state_key)

    def take(self, attempt: Attempt) -> None:
        """Take a job into hand."""
        rate = attempt.definition.rate_limit
        if rate is not None and rate.by == "key":
            self.hand.enter(attempt, self._starts_before(attempt))
        self.hand.take(attempt)

    def _starts_before(self, attempt: Attempt) -> Iterator[int]:
        opened_at, job = self.suspicion.opened_at, attempt.job
        since = opened_at - 2 * self.tables.key_rates[job.name]
        for start in read_starts(self.tables.store, job.name, job.ordering_key, since):
            # Another worker's clock may have said so.
            yield start + SKEW_MS if start <= opened_at else start

    def unique_for_ms(self, job: JobKey) -> int:
        """For how long the same id is refused after a job's end."""
        definition = self.registry.by_name(job.name)
        return self.place.unique_for_ms if definition is None else definition.unique_for_ms

    def is_blocked(self, lane: bytes, settlement: Settlement) -> bool:
        """Whether an open job of this key makes all others of it wait."""
        return lane in settlement.blocking or self.tables.is_blocked(lane)

    def lane_of_entry(self, entry: OpenEntry) -> bytes | None:
        """The lane that an open job runs in; a name that nobody knows here is held in order."""
        definition = self.registry.by_name(entry.job.name)
        strict = definition is None or definition.ordering == "strict"
        return entry.record_key if strict and entry.job.ordering_key is not None else None

    def tell(
        self,
        settlement: Settlement,
        happening: Happening,
        job: JobKey,
        now: int,
        due: int | None = None,
    ) -> None:
        """Tell listeners, once the turn is settled."""
        settlement.events.append(
            LifecycleEvent(
                happening=happening,
                at=now,
                queue=self.place.queue,
                name=job.name,
                id=job.id,
                key=job.ordering_key,
                due=due,
            )
        )
