"""How many jobs an action would be about, before it is begun: counted in the projection."""

from __future__ import annotations

from dataclasses import dataclass
from sqlite3 import Connection
from typing import Final

from streams.console.console import Console
from streams.projection.filter import Filter
from streams.projection.kinds import Kinds
from streams.projection.listing import Listing

_BUDGET_MS: Final = 3_000
_SAMPLE: Final = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Counted:
    """So many that fit, and some of them."""

    number: int = 0
    is_all: bool = True  # not: the time was up before all were looked at
    sample: tuple[tuple[str, str], ...] = ()  # names and ids


async def count(console: Console, wanted: Filter) -> Counted:
    """Count what fits; of no state at all nothing does."""
    if not wanted.states:
        return Counted()

    def read(db: Connection) -> Counted:
        listing = Listing(db)
        number, is_all = listing.count(wanted, budget_ms=_BUDGET_MS)
        rows = listing.page(wanted, limit=_SAMPLE).rows
        kinds = Kinds.read(db)
        sample = tuple((kinds.names[row.kind][1], row.id) for row in rows)
        return Counted(number=number, is_all=is_all, sample=sample)

    return await console.ask(read)
