"""Dead letters as answers list and count them, by what the projection has."""

from __future__ import annotations

from collections import Counter
from sqlite3 import Connection
from typing import Any

from streams.console import views
from streams.console.console import Console
from streams.console.groups import deaths
from streams.console.problems import Problem
from streams.projection.filter import Cursor, Filter
from streams.projection.job import jobs_of
from streams.projection.letters import Letter as Unread
from streams.projection.letters import Listed, letter_counts, listed_letters
from streams.projection.listing import Kinds, Listing
from streams.projection.numbers import counts
from streams.projection.states import DEAD
from streams.replay.letters import Letter

GROUPS = ("error", "job", "queue")


async def listed(
    console: Console, wanted: Filter, limit: int, cursor: str | None
) -> dict[str, Any]:
    """A page of dead jobs, the latest first; none is too old to be listed.

    Raises:
        BadFilter: it is no cursor.
    """
    behind = None if cursor is None else Cursor.read(cursor)

    def read(db: Connection) -> dict[str, Any]:
        page = Listing(db).page(wanted, limit=limit, cursor=behind)
        return {
            "data": [views.job(job) for job in jobs_of(db, page.rows)],
            "cursor": None if page.cursor is None else page.cursor.text(),
            "partial": page.is_partial,
        }

    return await console.ask(read)


async def error_meant(console: Console, asked: str | None) -> str | None:
    """The type of error that is meant by its name, with or without its module.

    Raises:
        Problem: there are several.
    """
    if asked is None:
        return None
    kinds = await console.ask(Kinds.read)
    fitting = sorted(t for t in kinds.errors.values() if t == asked or t.endswith(f".{asked}"))
    if asked in fitting or not fitting:
        return asked
    if len(fitting) > 1:
        raise Problem(422, f"error: {asked!r} may be {', '.join(fitting)}: write one of them")
    return fitting[0]


async def grouped(
    console: Console, by: str, queue: str | None, name: str | None
) -> list[dict[str, Any]]:
    """How many there are of each, the most first."""

    def by_error(db: Connection) -> list[dict[str, Any]]:
        return [
            {
                "error": each.error,
                "count": each.count,
                "first": views.time(each.first),
                "last": views.time(each.last),
                "message": each.message,
                "jobs": dict(each.names),
            }
            for each in deaths(db, queue, name)
        ]

    def by_kind(db: Connection) -> list[dict[str, Any]]:
        found: Counter[str] = Counter()
        for each in counts(db):
            is_meant = (queue is None or each.queue == queue) and name in (None, each.name)
            if each.state == "dead" and is_meant:
                found[each.name if by == "job" else each.queue] += each.number
        return _ordered(by, found)

    return await console.ask(by_error if by == "error" else by_kind)


def wanted_letters(**given: Any) -> Filter:
    """A filter of dead jobs."""
    return Filter(states=frozenset({DEAD}), **given)


async def undecodable(
    console: Console, queue: str | None, error: str | None, limit: int, cursor: str | None
) -> dict[str, Any]:
    """Letters of what nobody could read, which are no jobs; the latest first.

    Raises:
        BadFilter: it is no cursor.
    """
    behind = None if cursor is None else Cursor.read(cursor)[:2]

    def read(db: Connection) -> list[Listed]:
        return listed_letters(db, queue=queue, error=error, before=behind, limit=limit + 1)

    found = await console.ask(read)
    last = found[limit - 1] if len(found) > limit else None
    return {
        "data": [_unread_json(each.letter) for each in found[:limit]],
        "cursor": None if last is None else Cursor(last.letter.at, last.n).text(),
        "partial": False,
    }


async def undecodable_counted(
    console: Console, by: str, queue: str | None, error: str | None
) -> list[dict[str, Any]]:
    """How many of those there are of each error or queue, the most first."""
    found: Counter[str] = Counter()
    for its_queue, its_error, number in await console.ask(letter_counts):
        if queue in (None, its_queue) and error in (None, its_error):
            found[its_error if by == "error" else its_queue] += number
    return _ordered(by, found)


def _ordered(by: str, found: Counter[str]) -> list[dict[str, Any]]:
    ordered = sorted(found.items(), key=lambda each: (-each[1], each[0]))
    return [{by: value, "count": count} for value, count in ordered]


def _unread_json(letter: Unread) -> dict[str, Any]:
    origin = {"topic": letter.topic, "partition": letter.partition, "offset": letter.offset}
    return {
        "letter": f"{letter.topic}/{letter.partition}/{letter.offset}",
        "job": None,
        "queue": letter.queue,
        "key": None,
        "generation": 0,
        "attempts": 0,
        "error": letter.error,
        "message": letter.message,
        "failedAt": views.time(letter.at),
        "origin": origin,
    }


def letter_json(letter: Letter) -> dict[str, Any]:
    """One letter in short, without its payload."""
    topic, partition, offset = letter.origin
    return {
        "letter": letter.id,
        "job": letter.name or None,
        "queue": letter.queue,
        "key": None if letter.job is None else letter.job.ordering_key,
        "generation": letter.generation,
        "attempts": letter.attempts,
        "error": letter.error,
        "failedAt": views.time(letter.last_failure),
        "origin": {"topic": topic, "partition": partition, "offset": offset},
    }
