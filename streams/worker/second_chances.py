"""Dead jobs replayed by command or by policy, and discarded by policy."""

from __future__ import annotations

from dataclasses import replace

from streams.wire.state import OpenEntry
from streams.worker import open_jobs
from streams.worker.dead_hooks import policy_of
from streams.worker.owned import Owned
from streams.worker.parking import park_attempts
from streams.worker.settlement import Settlement


def replay_dead(
    owned: Owned,
    entry: OpenEntry,
    settlement: Settlement,
    now: int,
    *,
    is_repeated: bool = True,
) -> None:
    """Open a dead job again; what waits in hand is behind it from then on, durably."""
    lane = owned.lane_of_entry(entry)
    open_jobs.replay(entry, lane, settlement, owned.place, now, is_repeated=is_repeated)
    if lane is not None:
        park_attempts(owned, owned.hand.give_back(lane), settlement, now)


def by_policy(owned: Owned, entry: OpenEntry, settlement: Settlement, now: int) -> None:
    """Do with a dead job what its definition wants now that it is due."""
    policy = policy_of(owned.registry.by_name(entry.job.name))
    failed_at = entry.failed_at
    if policy.is_discarded(failed_at, now):
        unique_for_ms = owned.unique_for_ms(entry.job)
        reason = f"nobody resolved it in {policy.discard_after}"
        open_jobs.discard(entry, reason, settlement, owned.place, now, unique_for_ms)
    elif policy.is_replayed(entry.generation, failed_at, now):
        replay_dead(owned, entry, settlement, now, is_repeated=False)
    else:  # the policy is another one by now
        due = policy.due(entry.generation, failed_at)
        settlement.open(replace(entry, due=due), owned.lane_of_entry(entry))
