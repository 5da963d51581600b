"""What was removed from the beginnings of the topics of state, and whether that may be. Pure.

Compaction leaves the beginning of a topic where it was; retention and DeleteRecords move it. The
owner of a partition does that to the ledger, by age, and nobody does it to the retry topic.
"""

from __future__ import annotations

from collections.abc import Iterable

from streams.audit.fault import LEDGER_TRIMMED, RETRY_TRIMMED, Fault
from streams.audit.rules import CLOCKS_MS, Rules
from streams.audit.since import Ends, Since

APART_MS = 60 * 60 * 1000


class Marks:
    """When some records of the ledger were written, an hour apart, and the last one."""

    def __init__(self, kept: Iterable[tuple[int, int]] = ()) -> None:
        self._kept = list(kept)

    def take(self, timestamp: int, offset: int) -> None:
        """A record of the ledger that was read."""
        kept = self._kept
        if len(kept) > 1 and timestamp < kept[-2][0] + APART_MS:
            kept.pop()
        kept.append((timestamp, offset))

    def lasting(self, rules: Rules) -> tuple[tuple[int, int], ...]:
        """Those that say something later."""
        return tuple(mark for mark in self._kept if not rules.may_be_trimmed(mark[0]))


def trims(queue: str, partition: int, since: Since, ends: Ends, rules: Rules) -> list[Fault]:
    """What went that should be there, whether it mattered or not."""
    faults = []
    if ends.retry_start > since.retry_start:
        faults.append(
            Fault(
                why=RETRY_TRIMMED,
                queue=queue,
                partition=partition,
                offset=since.retry_start,
                detail=f"offsets {since.retry_start} to {ends.retry_start - 1}",
            )
        )
    young = [
        (offset, timestamp)
        for timestamp, offset in since.marks
        if offset < ends.ledger_start and not rules.may_be_trimmed(timestamp - CLOCKS_MS)
    ]
    if young:
        offset, timestamp = min(young)
        hours = max(0, rules.now - timestamp) / APART_MS
        faults.append(
            Fault(
                why=LEDGER_TRIMMED,
                queue=queue,
                partition=partition,
                offset=offset,
                detail=f"it begins at {ends.ledger_start}, and this one was {hours:.1f} h old",
            )
        )
    return faults
