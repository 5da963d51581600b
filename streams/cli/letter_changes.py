"""What a replay changes of letters: their payload, in an editor or by a patch, and their queue."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import typer

from streams.cli import exits
from streams.cli.handlers import loaded
from streams.cli.output import fail

if TYPE_CHECKING:
    from streams.replay.editing import Change
    from streams.replay.letters import Letter
    from streams.replay.resolving import Action
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
    if not patch.lstrip().startswith("["):
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
        saved = click.edit(text, extension=".json")
        if saved is None:
            fail("nothing was saved: the letter stays", exits.NEGATIVE)
        try:
            return orjson.loads(saved)
        except orjson.JSONDecodeError as error:
            text = saved
            if not typer.confirm(f"that is no JSON: {error}. Edit it again?"):
                fail("the letter stays", exits.NEGATIVE)


def preparing(change: Change | None, to_queue: str | None, to_job: str | None) -> Prepare | None:
    """What is done with each letter before it is sent: changed, and checked by its contract."""
    from streams.replay.editing import Editing, decoded

    if change is None and to_job is None:
        return None if to_queue is None else decoded

    _, registry = loaded()
    return Editing(registry, change or _as_it_is, to_job).edited


def _as_it_is(value: Any) -> Any:
    return value


def target(to_queue: str | None, to_job: str | None) -> Action:
    """Where letters go: back into their jobs, or on as new ones."""
    from streams.replay.actions import Replaying, Retargeting

    if to_queue is None and to_job is None:
        return Replaying(names())
    if to_job is None:
        return Retargeting(names(), to_queue or "", None, None)
    _, registry = loaded()
    definition = registry.by_name(to_job)
    if definition is None:
        from streams.jobs.meant import advice

        known = [each.name for each in registry.definitions()]
        fail(f"--to-job: no handler here is named {to_job!r}; {advice(to_job, known)}", exits.USAGE)
    return Retargeting(names(), to_queue or definition.queue, to_job, definition.key_scope)
