"""Dead letters as answers list and count them, by what the projection has."""

from __future__ import annotations

from sqlite3 import Connection
from typing import Any

from streams.console import views
from streams.console.console import Console
from streams.console.groups import deaths
from streams.console.problems import Problem
from streams.projection.filter import Cursor, Filter
from streams.projection.job import Job
from streams.projection.listing import Kinds, Listing
from streams.projection.numbers import counts
from streams.projection.states import DEAD
from streams.replay.dead_topic import open_dead_topic
from streams.replay.letters import Letter
from streams.replay.listing import page_of

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
        kinds = Kinds.read(db)
        return {
            "data": [views.job(Job.of(row, kinds)) for row in page.rows],
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
        found: dict[str, int] = {}
        for each in counts(db):
            is_meant = (queue is None or each.queue == queue) and name in (None, each.name)
            if each.state == "dead" and is_meant:
                value = each.name if by == "job" else each.queue
                found[value] = found.get(value, 0) + each.number
        ordered = sorted(found.items(), key=lambda each: (-each[1], each[0]))
        return [{by: value, "count": count} for value, count in ordered]

    return await console.ask(by_error if by == "error" else by_kind)


def wanted_letters(**given: Any) -> Filter:
    """A filter of dead jobs."""
    return Filter(states=frozenset({DEAD}), **given)


async def undecodable(console: Console, limit: int, cursor: str | None) -> dict[str, Any]:
    """Letters of what nobody could read, which are no jobs; it reads the whole topic for them.

    Raises:
        BrokerUnavailable: Kafka did not answer in time.
        Problem: it is no cursor.
    """
    topic = console.names.dead
    async with open_dead_topic(console.settings.bootstrap_servers, topic) as dead:
        letters = dead.letters(lambda letter: letter.job is None)
        try:
            page = await page_of(letters, limit, cursor)
        except ValueError as error:
            raise Problem(422, f"cursor: {error}") from None
    return {
        "data": [letter_json(letter) for letter in page.letters],
        "cursor": page.next,
        "partial": False,
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
