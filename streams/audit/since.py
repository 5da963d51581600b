"""Where an audit of a partition begins and ends, and what it leaves for the next one."""

from __future__ import annotations

from dataclasses import dataclass, field

from streams.audit.tally import Tally


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """What is not over at a checkpoint: a job, a letter or a forwarded record to look for."""

    state: str  # of the job; or what it is
    key: bytes
    time: int = 0
    generation: int = 0
    run: int = 0
    has_letter: bool = False
    offset: int = -1  # in the queue
    sent: int = 0
    to: int = -1  # the partition that it was forwarded to
    entry_at: int = -1  # the offset of its entry in the retry topic
    due: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Ends:
    """Where the topics of a partition begin and end for an audit."""

    queue_start: int = 0  # before anything was read
    queue_first: int = 0  # and after: workers trim meanwhile
    queue: int = 0
    retry: int = 0
    retry_start: int = 0
    ledger: int = 0
    ledger_start: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Since:
    """Up to where the last audit has read the topics of a partition, and what it counted."""

    queue: int = 0
    retry: int = 0
    ledger: int = 0
    retry_epoch: int = 0
    ledger_epoch: int = 0
    commit: int = 0
    commands: int = 0  # the offset after the last one that was obeyed
    ended_to: int = 0  # nothing that it has read of the ledger ended later
    at: int = 0  # when it looked where the topics end
    retry_start: int = 0
    marks: tuple[tuple[int, int], ...] = ()  # of some ledger records: timestamp, offset
    tally: Tally = field(default_factory=Tally)
