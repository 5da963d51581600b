"""A job in the hands of this worker, from admission to outcome."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from streams.jobs.batches import BatchCounts
from streams.jobs.definition import JobDefinition
from streams.jobs.identity import JobKey
from streams.jobs.notes import Notebook, Notes
from streams.jobs.retry import Retry
from streams.wire.envelope import Envelope, Record
from streams.wire.single import Single
from streams.wire.state import OpenEntry

if TYPE_CHECKING:
    from streams.worker.gathering import Group
    from streams.worker.key_rate import KeyRate
    from streams.worker.limit import Limit


@dataclass(eq=False, slots=True, kw_only=True)
class Attempt:
    """One job that was admitted and is not settled; `offset` is None if it came from the table."""

    job: JobKey
    state_key: bytes
    lane: bytes | None
    envelope: Envelope
    record: Record
    definition: JobDefinition
    offset: int | None
    entry: OpenEntry | None = None
    was_opened: bool = False  # it came from the open table, and was not taken over since
    is_overdue: bool = False  # it should have started long ago, when nobody was there
    generation: int = 0
    run: int = 0
    used: int = 0  # attempts used up before this one
    due: int  # when this run could start at the earliest
    single: Single | None = None  # of jobs like it only one is to run
    retry: Retry = field(default_factory=Retry)  # with what this one job overrides
    timeout_ms: int = 300_000
    expires: int | None = None
    started: int | None = None
    submitted: bool = False
    is_over: bool = False  # it ended for good, whatever is decided next
    passed_on: bool = False  # and the next of its key has started
    cancelled: str | None = None  # the reason, once somebody asked
    notebook: Notebook | None = None  # once its handler, or that of an earlier run, said something
    held_by: Limit | None = field(default=None, repr=False)  # the limit for which it waits near
    held_since: int = 0
    key_rate: KeyRate | None = field(default=None, repr=False)  # if its key has one
    counted_at: int | None = None  # as a start of its key's rate
    start_by: int | None = None  # a rate let it start until then, by `Clock.elapsed`
    comes_for: Limit | None = field(default=None, repr=False)  # which had it in the open table
    group: Group | None = field(default=None, repr=False)  # with which it runs in one call
    passed: Sequence[Limit] = ()  # the limits that it counts for while it runs
    handle: Any = field(default=None, repr=False)  # the executor's own

    @property
    def notes(self) -> Notes | None:
        """What its handler said so far."""
        return None if self.notebook is None else self.notebook.kept()

    @property
    def batch(self) -> BatchCounts | None:
        """How the children are whose callback it is."""
        tally = None if self.entry is None else self.entry.tally
        return None if tally is None else tally.counts()

    @property
    def queue(self) -> str:
        """The queue that it came from."""
        return self.envelope.queue or self.definition.queue

    @property
    def number(self) -> int:
        """This attempt's number, from 1."""
        return self.used + 1
