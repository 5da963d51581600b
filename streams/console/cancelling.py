"""Many jobs cancelled by what they have in common: page by page, each by a command of its own."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, replace
from sqlite3 import Connection
from typing import TYPE_CHECKING, Final

from streams.console.acting import ask
from streams.console.console import Console
from streams.console.on_record import on_record
from streams.projection.filter import Cursor, Filter
from streams.projection.job import Job
from streams.projection.kinds import Kinds
from streams.projection.listing import Listing
from streams.projection.states import CODES, DEAD, FIRST_OVER
from streams.wire.commands import Command

if TYPE_CHECKING:
    from streams.console.bulk import Bulk

_AT_ONCE: Final = 500
OPEN: Final = frozenset(code for code in CODES.values() if code < FIRST_OVER and code != DEAD)


@dataclass(frozen=True, slots=True, kw_only=True)
class Cancellation:
    """Which jobs, and why; of those only what is not over and not dead."""

    filter: Filter
    on: str  # the same in words
    reason: str = ""
    verb: str = "cancel"

    @property
    def what(self) -> str:
        """As actions are called on record."""
        return "jobs cancel"

    @property
    def open(self) -> Filter:
        """The filter, for what can be cancelled."""
        states = self.filter.states & OPEN if self.filter.states else OPEN
        return replace(self.filter, states=states)


async def cancel_all(console: Console, bulk: Bulk, order: Cancellation) -> None:
    """Ask for each, and count."""
    async with on_record(console, bulk.who, order.what, order.on, order.reason, id=bulk.id) as note:

        async def asked(job: Job) -> None:
            await _ask(console, job, order, bulk.who)
            bulk.result.resolved += 1
            note["cancelled"] = bulk.result.resolved

        async for jobs in _pages(console, order):
            bulk.matching += len(jobs)
            note["matching"] = bulk.matching
            # All of them are waited for, also when one fails: what Kafka has taken counts.
            for outcome in await asyncio.gather(*map(asked, jobs), return_exceptions=True):
                if outcome is not None:
                    raise outcome


async def _pages(console: Console, order: Cancellation) -> AsyncIterator[Sequence[Job]]:
    """The latest first, so that what changes meanwhile is in front of what is looked at."""
    wanted = order.open
    if not wanted.states:
        return
    cursor: Cursor | None = None
    while True:
        behind = cursor

        def read(db: Connection, behind: Cursor | None = behind) -> tuple[list[Job], Cursor | None]:
            page = Listing(db).page(wanted, limit=_AT_ONCE, cursor=behind)
            kinds = Kinds.read(db)
            return [Job.of(row, kinds) for row in page.rows], page.cursor

        jobs, cursor = await console.ask(read)
        yield jobs
        if cursor is None:
            return


async def _ask(console: Console, job: Job, order: Cancellation, who: str) -> None:
    reason = order.reason or f"cancelled by {who}"
    await ask(console, job, Command(kind="cancel", job=job.key, reason=reason))
