"""`streams dlq replay` and `discard`: one letter, those that fit a filter, or all."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING

import typer

from streams.cli import exits
from streams.cli.letter_changes import check_queue, edited_by, names, preparing
from streams.cli.letter_options import LETTER, takes_filter
from streams.cli.letter_orders import Order, carry_out
from streams.cli.output import JSON, fail
from streams.cli.times import check_duration

if TYPE_CHECKING:
    from streams.replay.letter_filter import LetterFilter

_LETTER = typer.Argument(None, metavar="LETTER", help=LETTER)
_ALL = typer.Option(False, "--all", help="Every letter there is.")
_DRY_RUN = typer.Option(False, "--dry-run", help="Say how many there are, and no more.")
_RATE = typer.Option(None, help="No faster than this: 50/s, 1000/h.", show_default=False)
_YES = typer.Option(False, "--yes", "-y", help="Do not ask.")
_TIMEOUT = typer.Option("30s", help="How long to wait for a worker that says nothing.")


@takes_filter
def replay(
    letter: str | None = _LETTER,
    *,
    filter: LetterFilter,
    all: bool = _ALL,
    dry_run: bool = _DRY_RUN,
    rate: str | None = _RATE,
    patch: str | None = typer.Option(
        None, help="Change each payload: a JSON Patch, or a file with one.", show_default=False
    ),
    edit: bool = typer.Option(False, "--edit", help="Change the payload of LETTER in $EDITOR."),
    to_queue: str | None = typer.Option(
        None, help="As a new job in this queue; the old one is discarded.", show_default=False
    ),
    to_job: str | None = typer.Option(None, help="As a job of this name.", show_default=False),
    max_returns: int = typer.Option(
        5, min=1, help="Leave those that were replayed so often and came back."
    ),
    yes: bool = _YES,
    timeout: str = _TIMEOUT,
    as_json: bool = JSON,
) -> None:
    """Replay dead letters; exit code 1 if one was not. Once more, and it goes on with the rest."""
    from streams.replay.actions import Moving, Replaying

    if edit and (letter is None or patch is not None):
        fail("--edit changes the payload of one LETTER; for many there is --patch", exits.USAGE)
    change = edited_by(patch, edit)
    order = Order(
        verb="replay",
        filter=_meant(letter, filter, all),
        rate=_rate(rate),
        timeout_ms=_duration(timeout),
        returns_max=max_returns,
        prepare=preparing(change, to_queue, to_job),
        how=_how(patch, edit, to_queue, to_job),
        yes=yes or letter is not None,
        dry_run=dry_run,
        as_json=as_json,
    )
    moves = to_queue is not None or to_job is not None
    check_queue(to_queue)
    carry_out(order, Moving(names(), time.time_ns() // 1_000_000) if moves else Replaying(names()))


@takes_filter
def discard(
    letter: str | None = _LETTER,
    *,
    filter: LetterFilter,
    reason: str = typer.Option(..., help="Why; it is kept with each job."),
    all: bool = _ALL,
    dry_run: bool = _DRY_RUN,
    rate: str | None = _RATE,
    yes: bool = _YES,
    timeout: str = _TIMEOUT,
    as_json: bool = JSON,
) -> None:
    """Discard dead letters, for good; exit code 1 if one was not."""
    from streams.replay.actions import Discarding

    if not reason.strip():
        fail("--reason is empty: say why", exits.USAGE)
    order = Order(
        verb="discard",
        filter=_meant(letter, filter, all),
        reason=reason,
        rate=_rate(rate),
        timeout_ms=_duration(timeout),
        yes=yes,
        dry_run=dry_run,
        as_json=as_json,
    )
    carry_out(order, Discarding(names(), reason))


def _how(patch: str | None, edit: bool, to_queue: str | None, to_job: str | None) -> str:
    said = {"patch": patch, "edit": "" if edit else None, "to-queue": to_queue, "to-job": to_job}
    return " ".join(
        f"--{name} {value}".strip() for name, value in said.items() if value is not None
    )


def _meant(letter: str | None, filter: LetterFilter, all: bool) -> LetterFilter:
    is_filtered = bool(filter.told())
    if letter is None and not is_filtered and not all:
        fail("name one LETTER, say which with --job, --error, ..., or give --all", exits.USAGE)
    if all and (letter is not None or is_filtered):
        fail("--all is every letter: leave it out, or the rest", exits.USAGE)
    return replace(filter, letter=letter)


def _rate(rate: str | None) -> float | None:
    from streams.replay.pace import per_second

    try:
        return None if rate is None else per_second(rate)
    except ValueError as error:
        fail(f"--rate: {error}", exits.USAGE)


def _duration(timeout: str) -> int:
    from streams.durations import to_ms

    check_duration("--timeout", timeout)
    return to_ms(timeout)
