"""Many jobs cancelled by what they have in common: page by page, each by a command of its own."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, replace
from sqlite3 import Connection
from typing import TYPE_CHECKING, Final

from streams.console.acting import on_record
from streams.console.console import Console
from streams.jobs.identity import JobKey
from streams.projection.filter import Cursor, Filter
from streams.projection.kinds import Kinds
from streams.projection.listing import Listing, Page
from streams.projection.row import Row
from streams.projection.states import CODES, DEAD, FIRST_OVER
from streams.wire.commands import Command, encode_command

if TYPE_CHECKING:
    from streams.console.bulk import Bulk

_AT_ONCE: Final = 500
_SAMPLE: Final = 5
OPEN: Final = frozenset(code for code in CODES.values() if code < FIRST_OVER and code != DEAD)


@dataclass(frozen=True, slots=True, kw_only=True)
class Cancellation:
    """Which jobs, and why; of those only what is not over and not dead."""

    filter: Filter
    on: str  # the same in words
    reason: str = ""
    dry_run: bool = False
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
    """Ask for each, and count; with `dry_run` count alone."""
    if order.dry_run:
        async for rows, kinds in _pages(console, order):
            bulk.matching += len(rows)
            bulk.jobs += [_job(row, kinds) for row in rows[: _SAMPLE - len(bulk.jobs)]]
        return
    async with on_record(console, bulk.who, order.what, order.on, order.reason, id=bulk.id) as note:
        async for rows, kinds in _pages(console, order):
            bulk.matching += len(rows)
            await asyncio.gather(*(_ask(console, row, kinds, order, bulk.who) for row in rows))
            bulk.result.resolved += len(rows)
            note |= {"matching": bulk.matching, "cancelled": bulk.result.resolved}


async def _pages(
    console: Console, order: Cancellation
) -> AsyncIterator[tuple[Sequence[Row], Kinds]]:
    """The latest first, so that what changes meanwhile is in front of what is looked at."""
    wanted = order.open
    if not wanted.states:
        return
    cursor: Cursor | None = None
    while True:
        behind = cursor

        def read(db: Connection, behind: Cursor | None = behind) -> tuple[Page, Kinds]:
            page = Listing(db).page(wanted, limit=_AT_ONCE, cursor=behind)
            return page, Kinds.read(db)

        page, kinds = await console.ask(read)
        yield page.rows, kinds
        cursor = page.cursor
        if cursor is None:
            return


async def _ask(console: Console, row: Row, kinds: Kinds, order: Cancellation, who: str) -> None:
    queue, _ = kinds.names[row.kind]
    command = Command(
        kind="cancel", job=_job(row, kinds), reason=order.reason or f"cancelled by {who}"
    )
    key, value = encode_command(command)
    await console.client.delivery.append(
        console.names.commands(queue), key=key, value=value, partition=row.partition, job_id=row.id
    )


def _job(row: Row, kinds: Kinds) -> JobKey:
    return JobKey(name=kinds.names[row.kind][1], ordering_key=row.key, id=row.id)
