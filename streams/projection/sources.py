"""Where the rows of a listing are: parts of indexes, each in order, and what their rows must meet.

A part is one that an index can find; all else that is wanted is looked at row by row.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Iterator
from typing import Any, NamedTuple

from streams.projection.asking import ask
from streams.projection.filter import Filter
from streams.projection.hashes import bare, hash_of
from streams.projection.kinds import Kinds
from streams.projection.retention import Floors


class Clause(NamedTuple):
    """A condition with its values."""

    text: str
    values: tuple[Any, ...] = ()


class Source(NamedTuple):
    """Rows that an index has in order, and a condition that each has to meet; None: all do."""

    where: Clause
    fits: Clause | None


def sources(
    db: sqlite3.Connection, wanted: Filter, kinds: Kinds, floors: Floors
) -> Iterator[Source]:
    """All of them; no row is in two."""
    of = {
        kind
        for kind, (queue, name) in kinds.names.items()
        if (wanted.queue is None or queue == wanted.queue)
        and (wanted.name is None or name == wanted.name)
    }
    there = [
        (kind, state)
        for kind, state in ask(db, "kind, state", "from counts where number > 0")
        if kind in of and (not wanted.states or state in wanted.states)
    ]
    rest = list(_rest(wanted, kinds))
    roots = list(_roots(wanted, kinds))
    if not roots:
        for kind, state in there:
            floor = floors.get((kinds.names[kind][0], state))
            bounds = [Clause("kind = ? and state = ?", (kind, state)), *_between(wanted, floor)]
            yield Source(_all(bounds), _all(rest) if rest else None)
        return
    if len(of) < len(kinds.names):
        rest.append(Clause(_kind_in(of)))
    for root in roots:
        for state in sorted({state for _, state in there}):
            asked = [*rest, *_above(floors, kinds, of, state)]
            bounds = [root, Clause("state = ?", (state,)), *_between(wanted, None)]
            yield Source(_all(bounds), _all(asked) if asked else None)


def _roots(wanted: Filter, kinds: Kinds) -> Iterator[Clause]:
    """The indexes that narrow most; none: by kind."""
    if wanted.parent is not None:
        yield Clause("parent = ?", (wanted.parent,))
    elif wanted.key is not None:
        for number in {hash_of(wanted.key), hash_of(bare(wanted.key))}:
            yield Clause("key_hash = ?", (number,))
    elif wanted.error is not None:
        for number in _errors(wanted, kinds):
            yield Clause("error = ?", (number,))


def _rest(wanted: Filter, kinds: Kinds) -> Iterator[Clause]:
    """What the index does not say for sure, or another one would have."""
    if wanted.key is not None:
        yield Clause("(key = ? or substr(key, instr(key, ':') + 1) = ?)", (wanted.key, wanted.key))
    if wanted.error is not None and (wanted.parent is not None or wanted.key is not None):
        (number,) = _errors(wanted, kinds)
        yield Clause("error = ?", (number,))
    if wanted.text:
        if wanted.text.isascii():
            sought = "".join(f"\\{c}" if c in "\\%_" else c for c in wanted.text)
            condition, value = "{} like ? escape '\\'", f"%{sought}%"
        else:
            condition, value = "instr(fold({}), ?)", wanted.text.casefold()
        places = ("id", "key", "message")
        yield Clause(f"({' or '.join(map(condition.format, places))})", (value,) * len(places))


def _errors(wanted: Filter, kinds: Kinds) -> list[int]:
    """The number of the error that is wanted; one that nothing has, if nothing has it."""
    return [number for number, type_ in kinds.errors.items() if type_ == wanted.error] or [-1]


def _above(floors: Floors, kinds: Kinds, of: Collection[int], state: int) -> Iterator[Clause]:
    """What ended in this state too long ago is not listed."""
    for (queue, its), floor in floors.items():
        if its == state and (below := [k for k in of if kinds.names[k][0] == queue]):
            yield Clause(f"(not {_kind_in(below)} or at >= ?)", (floor,))


def _between(wanted: Filter, floor: int | None) -> Iterator[Clause]:
    since = max((each for each in (wanted.since, floor) if each is not None), default=None)
    if since is not None:
        yield Clause("at >= ?", (since,))
    if wanted.until is not None:
        yield Clause("at < ?", (wanted.until,))


def _kind_in(kinds: Collection[int]) -> str:
    return f"kind in ({', '.join(map(str, sorted(kinds)))})"


def _all(clauses: list[Clause]) -> Clause:
    return Clause(
        " and ".join(clause.text for clause in clauses),
        tuple(value for clause in clauses for value in clause.values),
    )
