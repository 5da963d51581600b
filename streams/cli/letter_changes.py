"""What a replay changes of letters: their payload, in an editor or by a patch, and their queue."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from streams.cli import exits
from streams.cli.handlers import loaded
from streams.cli.output import confirmed, fail

if TYPE_CHECKING:
    from streams.jobs.definition import JobDefinition
    from streams.replay.editing import Change
    from streams.replay.letters import Letter
    from streams.wire.topics import TopicNames

Prepare = Callable[["Letter"], "Letter"]


def names() -> TopicNames:
    """The topics."""
    from streams.settings import Settings
    from streams.wire.topics import TopicNames

    return TopicNames(Settings().prefix)


def edited_by(patch: str | None, edit: bool) -> Change | None:
    """What `--patch` or `--edit` does with a payload."""
    from streams.errors import StreamsError
    from streams.replay.editing import patching

    if edit:
        return _in_an_editor
    if patch is None:
        return None
    text = patch
    if not patch.lstrip().startswith(("[", "{")):
        try:
            text = Path(patch).read_text()
        except OSError as error:
            fail(f"--patch {patch}: {error.strerror}", exits.USAGE)
    try:
        return patching(text)
    except StreamsError as error:
        fail(f"--patch: {error}", exits.USAGE)


def _in_an_editor(value: Any) -> Any:
    import orjson

    text = orjson.dumps(value, option=orjson.OPT_INDENT_2).decode() + "\n"
    while True:
        try:
            saved = click.edit(text, extension=".json")
        except click.ClickException as error:
            fail(f"--edit: {error.message}: the letter stays", exits.NEGATIVE)
        if saved is None:
            fail("nothing was saved: the letter stays", exits.NEGATIVE)
        try:
            return orjson.loads(saved)
        except orjson.JSONDecodeError as error:
            text = saved
            if not confirmed(f"that is no JSON: {error}. Edit it again?"):
                fail("the letter stays", exits.NEGATIVE)


def preparing(change: Change | None, to_queue: str | None, to_job: str | None) -> Prepare | None:
    """What is done with each letter before it is sent: changed, checked, and sent elsewhere."""
    from streams.replay.editing import Editing, Sending

    if to_queue is None and to_job is None:
        return None if change is None else Editing(loaded()[1], change).prepared
    return Sending(to_queue, None if to_job is None else _definition(to_job), change).prepared


def _definition(name: str) -> JobDefinition:
    from streams.jobs.meant import advice

    _, registry = loaded()
    definition = registry.by_name(name)
    if definition is None:
        known = [each.name for each in registry.definitions()]
        fail(f"--to-job: no handler here is named {name!r}; {advice(name, known)}", exits.USAGE)
    return definition


def check_queue(queue: str | None) -> None:
    """End the command if there is no such queue to send letters to."""
    import asyncio

    from streams.settings import Settings
    from streams.wire.reader import partition_counts

    if queue is None:
        return
    topics = {names().queue(queue), names().commands(queue), names().retry(queue)}
    counts = asyncio.run(partition_counts(Settings().bootstrap_servers, topics))
    if not topics <= counts.keys():
        fail(
            f"--to-queue: there is no queue {queue!r}: add it to STREAMS_QUEUES, and create its "
            "topics with `streams topics apply`",
            exits.USAGE,
        )
