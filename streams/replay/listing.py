"""Pages and groups of dead letters, in the memory of one page. Pure but for the reading."""

from __future__ import annotations

import heapq
from collections.abc import AsyncIterable, Callable
from dataclasses import dataclass
from typing import Final

from streams.replay.letters import Letter

Order = tuple[int, int, int]  # last failure, partition, offset

_DIGITS: Final = 20

GROUPS: Final[dict[str, Callable[[Letter], str]]] = {
    "error": lambda letter: letter.error,
    "message": lambda letter: f"{letter.error}: {letter.message}".splitlines()[0][:200],
    "job": lambda letter: letter.name,
    "queue": lambda letter: letter.queue,
    "key": lambda letter: "" if letter.job is None else letter.job.ordering_key or "",
    "version": lambda letter: letter.version,
    "generation": lambda letter: str(letter.generation),
}
"""What letters can be counted by."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """The newest letters, and where older ones begin; None: there are none."""

    letters: list[Letter]
    matching: int  # all that there are, on this page and on others
    next: str | None


@dataclass(slots=True)
class Group:
    """Letters that have something in common; times in ms since the epoch."""

    value: str
    count: int = 0
    first: int = 0
    last: int = 0
    example: str = ""  # the id of the newest


def check_cursor(cursor: str | None) -> None:
    """Nothing, if it is one; None is the first page.

    Raises:
        ValueError: it is none.
    """
    if cursor is not None:
        _read(cursor)


async def page_of(letters: AsyncIterable[Letter], size: int, cursor: str | None = None) -> Page:
    """The newest `size` letters before a cursor, that `next` of the page before gave.

    Raises:
        ValueError: it is no cursor.
    """
    before = None if cursor is None else _read(cursor)
    newest: list[tuple[Order, Letter]] = []
    matching = older = 0
    async for letter in letters:
        matching += 1
        order = _order(letter)
        if before is not None and order >= before:
            continue
        older += 1
        if len(newest) < size:
            heapq.heappush(newest, (order, letter))
        elif order > newest[0][0]:
            heapq.heapreplace(newest, (order, letter))
    found = sorted(newest, key=lambda each: each[0], reverse=True)
    return Page(
        letters=[letter for _, letter in found],
        matching=matching,
        next=_show(found[-1][0]) if found and older > len(found) else None,
    )


async def groups_of(letters: AsyncIterable[Letter], by: str) -> list[Group]:
    """How many there are of each, the most first."""
    value_of = GROUPS[by]
    groups: dict[str, Group] = {}
    async for letter in letters:
        value = value_of(letter)
        group = groups.get(value)
        if group is None:
            group = groups[value] = Group(value=value, first=letter.last_failure)
        group.count += 1
        group.first = min(group.first, letter.last_failure)
        if letter.last_failure >= group.last:
            group.last, group.example = letter.last_failure, letter.id
    return sorted(groups.values(), key=lambda group: (-group.count, group.value))


def _order(letter: Letter) -> Order:
    return (letter.last_failure, *letter.place)


def _show(order: Order) -> str:
    return "-".join(map(str, order))


def _read(cursor: str) -> Order:
    parts = cursor.split("-")
    if len(parts) != 3 or not all(p.isdigit() and len(p) < _DIGITS for p in parts):
        raise ValueError(f"{cursor!r} is no cursor: it is what the page before gave as next")
    return int(parts[0]), int(parts[1]), int(parts[2])
