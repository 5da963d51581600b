"""The options that say which dead letters are meant, the same for each command."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import wraps
from typing import TYPE_CHECKING, Any, get_type_hints

import typer

from streams.cli import exits
from streams.cli.given import check_given
from streams.cli.output import fail
from streams.cli.times import read_past

if TYPE_CHECKING:
    from streams.replay.letter_filter import LetterFilter

LETTER = "The job's id, or topic/partition/offset of what could not be decoded."


def _options(
    job: str | None = typer.Option(None, help="The job's name."),
    queue: str | None = typer.Option(None, help="The job's queue."),
    error: str | None = typer.Option(
        None, help="The error's type, with or without its module.", show_default=False
    ),
    text: str | None = typer.Option(
        None, help="In the message, the trace or the payload.", show_default=False
    ),
    key: str | None = typer.Option(
        None, help="The job's key, with or without its scope.", show_default=False
    ),
    since: str | None = typer.Option(
        None, help="Failed since: 2h ago, or 2026-12-24T18:00+01:00.", show_default=False
    ),
    until: str | None = typer.Option(None, help="Failed before that.", show_default=False),
    generation: int | None = typer.Option(
        None, min=0, help="How often the job was replayed.", show_default=False
    ),
) -> LetterFilter:
    from streams.replay.letter_filter import LetterFilter

    check_given(job=job, queue=queue, error=error, text=text, key=key)
    first, last = read_past("--since", since), read_past("--until", until)
    if first is not None and last is not None and first >= last:
        fail(f"--since {since} is not before --until {until}: nothing can fit", exits.USAGE)
    return LetterFilter(
        job=job,
        queue=queue,
        error=error,
        text=text,
        key=key,
        since=first,
        until=last,
        generation=generation,
    )


def takes_filter(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command whose parameter `filter` is a `LetterFilter` these options in its place."""
    options = inspect.signature(_options).parameters
    own = [
        parameter
        for name, parameter in inspect.signature(command).parameters.items()
        if name != "filter"
    ]
    at = next((n for n, each in enumerate(own) if _is_option(each)), len(own))
    unknown = {"LetterFilter": object}  # it is imported by the command that runs
    hints = {
        **get_type_hints(command, localns=unknown),
        **get_type_hints(_options, localns=unknown),
    }

    @wraps(command)
    def run(**given: Any) -> None:
        filter = _options(**{name: given.pop(name) for name in options})
        command(filter=filter, **given)

    parameters = [*own[:at], *options.values(), *own[at:]]
    parameters = [each.replace(annotation=hints[each.name]) for each in parameters]
    run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    run.__annotations__ = {each.name: each.annotation for each in parameters}
    return run


def _is_option(parameter: inspect.Parameter) -> bool:
    return isinstance(parameter.default, typer.models.OptionInfo)
