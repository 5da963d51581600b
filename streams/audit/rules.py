"""What an audit has to know of how jobs are kept."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from streams.jobs.identity import read_state_key

# A client's clock may be ahead of the worker's by which a job ended.
SKEW_MS = 60_000
# By which the clocks of workers, of brokers and of whoever audits may differ.
CLOCKS_MS = 10 * 60_000
# How long a topic keeps tombstones: what was resolved before that left no trace.
TOMBSTONES_MS = 24 * 60 * 60 * 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """Times in milliseconds."""

    now: int
    ledger_ms: int = 3 * 24 * 60 * 60 * 1000  # how long what is over is kept
    unique_for_ms: int = 24 * 60 * 60 * 1000  # of names that no handler here knows
    unique_for: Mapping[str, int] = field(default_factory=dict)  # of the others
    unrecorded: frozenset[str] = frozenset()  # names whose jobs leave no record

    def is_unrecorded(self, key: bytes) -> bool:
        """Whether such a job leaves no record when it completes."""
        return bool(self.unrecorded) and read_state_key(key)[0] in self.unrecorded

    def unique_for_of(self, key: bytes) -> int:
        """For how long after its end the same id is refused."""
        return self.unique_for.get(read_state_key(key)[0], self.unique_for_ms)

    def may_be_trimmed(self, ended: int, at: int | None = None) -> bool:
        """Whether a record of a job that ended then may be gone by now, or was at some time."""
        return ended <= (self.now if at is None else at) - self.ledger_ms
