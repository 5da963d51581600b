"""Dead letters as commands find, filter and show them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from streams.cli import exits
from streams.cli.history import history_json, print_history
from streams.cli.output import (
    fail,
    harmless,
    print_fields,
    print_json,
    print_table,
    show_bytes,
    show_time,
)
from streams.cli.payloads import show_payload

if TYPE_CHECKING:
    from streams.replay.letter_filter import LetterFilter
    from streams.replay.letters import Letter
    from streams.wire.state import AttemptRecord


@asynccontextmanager
async def standing(filter: LetterFilter) -> AsyncIterator[AsyncIterator[Letter]]:
    """The letters that are meant, one after the other."""
    from streams.replay.dead_topic import open_dead_topic
    from streams.settings import Settings
    from streams.wire.topics import TopicNames

    settings = Settings()
    topic = TopicNames(settings.prefix).dead
    async with open_dead_topic(settings.bootstrap_servers, topic) as dead:
        yield dead.letters(filter.fits)


async def find_letter(asked: str, filter: LetterFilter) -> Letter:
    """The one letter of this id; ends the command if there is none, or more than one."""
    async with standing(replace(filter, letter=asked)) as letters:
        found = [letter async for letter in letters]
    if not found:
        found = await _told_by_state(replace(filter, letter=asked))
    if not found:
        fail(nothing(replace(filter, letter=asked)), exits.NOT_FOUND)
    # An older generation's letter may stand after a crash; only the newest can be replayed.
    newest = {
        (letter.queue, letter.job): letter
        for letter in sorted(found, key=lambda one: one.generation)
    }
    if len(newest) > 1:
        print_table(
            ("letter", "job", "queue", "key"),
            [
                (one.id, one.name, one.queue, "" if one.job is None else one.job.ordering_key or "")
                for one in newest.values()
            ],
        )
        fail(f"{len(newest)} letters are named {asked}: add --job, --queue or --key", exits.USAGE)
    return next(iter(newest.values()))


async def _told_by_state(filter: LetterFilter) -> list[Letter]:
    """Of dead jobs whose letters somebody has removed: what their state says."""
    from streams.jobs.states import State
    from streams.replay.letters import letter_from
    from streams.settings import Settings
    from streams.story.finding import Finder
    from streams.wire.envelope import Record
    from streams.wire.letters import letter_of
    from streams.wire.reader import read_topics
    from streams.wire.topics import TopicNames

    settings = Settings()
    names = TopicNames(settings.prefix)
    queues = settings.queues if filter.queue is None else (filter.queue,)
    finder = Finder(names, queues, filter.letter or "")
    async for record in read_topics(settings.bootstrap_servers, finder.topics):
        finder.take(record)
    letters = []
    for each in finder.found(filter.job):
        entry = each.story.entry
        if entry is not None and entry.state is State.DEAD and each.status.state is State.DEAD:
            key, value, headers = letter_of(entry, each.queue)
            record = Record(names.dead, each.partition, 0, 0, key, value, tuple(headers))
            letters.append(letter_from(record))
    return [letter for letter in letters if filter.fits(letter)]


def nothing(filter: LetterFilter, jobs: Collection[str] = ()) -> str:
    """That nothing is meant; `jobs` have letters, if the filter's job has none."""
    from streams.jobs.meant import meant_by

    if filter.letter is not None:
        rest = replace(filter, letter=None).told()
        return f"there is no dead letter {filter.letter}{f' with {rest}' if rest else ''}"
    told = filter.told()
    meant = [] if filter.job is None else meant_by(filter.job, set(jobs) - {filter.job})
    hint = f"; did you mean {' or '.join(meant)}?" if meant else ""
    return f"no dead letter fits {told}{hint}" if told else "there are no dead letters"


async def attempts_of(letter: Letter) -> tuple[AttemptRecord, ...]:
    """The attempts of its job, as the job's state has them: the last ten."""
    from streams.client_story import Place, read_story
    from streams.settings import Settings
    from streams.wire.reader import partition_counts
    from streams.wire.topics import TopicNames

    settings = Settings()
    names = TopicNames(settings.prefix)
    retry = names.retry(letter.queue)
    counts = await partition_counts(settings.bootstrap_servers, [retry])
    if letter.job is None or retry not in counts:
        return ()
    place = Place(
        retry=retry,
        ledger=names.ledger(letter.queue),
        partition=letter.partition(names, counts[retry]),
        key=letter.job.encode(),
        since=0,
        repeatable=False,
    )
    stories = read_story(
        settings.bootstrap_servers, place, follow=False, timeout_ms=10_000, kafka={}
    )
    async for story in stories:
        return () if story.entry is None else story.entry.history
    return ()


def print_letter(letter: Letter, attempts: tuple[AttemptRecord, ...], *, as_json: bool) -> None:
    """One letter whole."""
    if as_json:
        print_json(
            {
                **plain(letter),
                "trace": letter.trace,
                "payload": None
                if letter.payload is None
                else show_payload(letter.name, letter.payload, 10**7),
                "headers": {name: show_bytes(value) for name, value in letter.headers},
                "history": history_json(attempts),
            }
        )
        return
    topic, partition, offset = letter.origin
    print_fields(
        [
            ("letter", letter.id),
            ("job", letter.name),
            ("queue", letter.queue),
            ("key", "" if letter.job is None else letter.job.ordering_key or ""),
            ("generation", str(letter.generation)),
            ("attempts", str(letter.attempts)),
            ("first failed", show_time(letter.first_failure)),
            ("last failed", show_time(letter.last_failure)),
            ("worker", f"{letter.worker} {letter.version}".strip()),
            ("from", f"{topic}/{partition}/{offset}"),
            ("error", f"{letter.error}: {letter.message}"),
            ("payload", show_payload(letter.name, letter.payload)),
        ]
    )
    for header, value in letter.headers:
        print(f"  {header}: {harmless(show_bytes(value, 200))}")
    print_history(attempts)
    if letter.trace:
        print(f"\n{harmless(letter.trace)}")


def plain(letter: Letter) -> dict[str, Any]:
    """One letter for programs; times in milliseconds since the epoch."""
    topic, partition, offset = letter.origin
    return {
        "letter": letter.id,
        "job": letter.name or None,
        "queue": letter.queue,
        "key": None if letter.job is None else letter.job.ordering_key,
        "generation": letter.generation,
        "attempts": letter.attempts,
        "error": letter.error,
        "message": letter.message,
        "firstFailure": letter.first_failure,
        "lastFailure": letter.last_failure,
        "worker": letter.worker,
        "version": letter.version,
        "origin": {"topic": topic, "partition": partition, "offset": offset},
    }
