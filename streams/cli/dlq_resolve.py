"""`streams dlq replay` and `discard`: one letter, those that fit a filter, or all."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

import typer

from streams.cli import exits
from streams.cli.letter_options import LETTER, takes_filter
from streams.cli.letters import find_letter, nothing, plain, standing
from streams.cli.output import JSON, ask, fail, print_json, print_table, show_time

if TYPE_CHECKING:
    from streams.replay.letter_filter import LetterFilter
    from streams.replay.letters import Letter
    from streams.replay.resolving import Action, Resolved

_LETTER = typer.Argument(None, metavar="LETTER", help=LETTER)
_ALL = typer.Option(False, "--all", help="Every letter there is.")
_DRY_RUN = typer.Option(False, "--dry-run", help="Say how many there are, and no more.")
_RATE = typer.Option(None, help="No faster than this: 50/s, 1000/h.", show_default=False)
_YES = typer.Option(False, "--yes", "-y", help="Do not ask.")
_TIMEOUT = typer.Option("30s", help="How long to wait for a worker that says nothing.")
_SAMPLE: Final = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class _Order:
    """What an operator asked for."""

    verb: str  # "replay"
    filter: LetterFilter
    reason: str = ""
    rate: float | None
    timeout_ms: int
    returns_max: int | None = None  # letters that came back more often are left
    yes: bool
    dry_run: bool
    as_json: bool

    @property
    def done(self) -> str:
        """The verb's past."""
        return f"{self.verb}ed"


@takes_filter
def replay(
    letter: str | None = _LETTER,
    *,
    filter: LetterFilter,
    all: bool = _ALL,
    dry_run: bool = _DRY_RUN,
    rate: str | None = _RATE,
    max_returns: int = typer.Option(
        5, min=1, help="Leave those that were replayed so often and came back."
    ),
    yes: bool = _YES,
    timeout: str = _TIMEOUT,
    as_json: bool = JSON,
) -> None:
    """Replay dead letters; exit code 1 if one was not. Once more, and it goes on with the rest."""
    from streams.replay.actions import Replaying

    order = _Order(
        verb="replay",
        filter=_meant(letter, filter, all),
        rate=_rate(rate),
        timeout_ms=_duration(timeout),
        returns_max=max_returns,
        yes=yes or letter is not None,
        dry_run=dry_run,
        as_json=as_json,
    )
    _run(order, Replaying(_names()))


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

    order = _Order(
        verb="discard",
        filter=_meant(letter, filter, all),
        reason=reason,
        rate=_rate(rate),
        timeout_ms=_duration(timeout),
        yes=yes,
        dry_run=dry_run,
        as_json=as_json,
    )
    _run(order, Discarding(_names(), reason))


def _meant(letter: str | None, filter: LetterFilter, all: bool) -> LetterFilter:
    is_filtered = bool(filter.told())
    if letter is None and not is_filtered and not all:
        fail("name one LETTER, say which with --job, --error, ..., or give --all", exits.USAGE)
    if all and (letter is not None or is_filtered):
        fail("--all is every letter: leave it out, or the rest", exits.USAGE)
    return replace(filter, letter=letter)


def _run(order: _Order, action: Action) -> None:
    if order.dry_run or not order.yes:
        count, sample = asyncio.run(_preview(order))
        if not count:
            _nothing(order)
            return
        if order.dry_run:
            _print_preview(order, count, sample)
            return
        ask(f"{order.verb.capitalize()} {count:,} dead letter{'s' if count > 1 else ''}?")
    try:
        found = asyncio.run(_resolve(order, action))
    except KeyboardInterrupt:
        print(f"\ninterrupted: the same command {order.verb}s those that are left")
        raise
    _conclude(order, found)


def _nothing(order: _Order) -> None:
    if order.filter.letter is not None:
        fail(nothing(order.filter), exits.NOT_FOUND)
    if order.as_json:
        print_json({order.done: 0, "matching": 0})
    else:
        print(nothing(order.filter))


async def _preview(order: _Order) -> tuple[int, list[Letter]]:
    count = 0
    sample: list[Letter] = []
    async with standing(order.filter) as letters:
        async for letter in letters:
            count += 1
            if len(sample) < _SAMPLE:
                sample.append(letter)
    return count, sample


def _print_preview(order: _Order, count: int, sample: list[Letter]) -> None:
    if order.as_json:
        print_json({"matching": count, "sample": [plain(letter) for letter in sample]})
        return
    print_table(
        ("letter", "job", "queue", "failed", "error"),
        [
            (
                letter.id,
                letter.name,
                letter.queue,
                show_time(letter.last_failure),
                f"{letter.error}: {letter.message}".splitlines()[0][:100],
            )
            for letter in sample
        ],
    )
    shown = f", {len(sample)} of them above" if count > len(sample) else ""
    print(f"{count:,} would be {order.done}{shown}; none was")


@dataclass(slots=True)
class _Found:
    """What was looked at, and what became of it."""

    matching: int = 0
    returned: int = 0  # left: they came back too often
    result: Resolved | None = None


async def _resolve(order: _Order, action: Action) -> _Found:
    from rich.console import Console
    from rich.progress import MofNCompleteColumn, Progress, SpinnerColumn, TextColumn

    from streams.replay.actions_log import written_down
    from streams.replay.resolving import resolve
    from streams.settings import Settings

    settings, names = Settings(), _names()
    found = _Found()
    columns = (SpinnerColumn(), TextColumn("{task.description}"), MofNCompleteColumn())
    log = written_down(
        settings.bootstrap_servers,
        names.actions,
        what=f"dlq {order.verb}",
        on=order.filter.told(),
        reason=order.reason,
    )
    async with _chosen(order) as letters, log as counts:
        with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
            bar = progress.add_task(f"{order.verb}ing", total=None)
            try:
                found.result = await resolve(
                    settings.bootstrap_servers,
                    names,
                    _guarded(letters, order, found),
                    action,
                    rate=order.rate,
                    timeout_ms=order.timeout_ms,
                    told=lambda so_far: _note(progress, bar, so_far, counts, order),
                )
            finally:
                counts["matching"] = found.matching
                if found.returned:
                    counts["returned"] = found.returned
    return found


def _note(progress: Any, bar: Any, so_far: Resolved, counts: dict[str, int], order: _Order) -> None:
    counts[order.done] = so_far.resolved
    progress.update(bar, completed=so_far.resolved)


@asynccontextmanager
async def _chosen(order: _Order) -> AsyncIterator[AsyncIterator[Letter]]:
    if order.filter.letter is None:
        async with standing(order.filter) as letters:
            yield letters
        return
    letter = await find_letter(order.filter.letter, order.filter)

    async def alone() -> AsyncIterator[Letter]:
        yield letter

    yield alone()


async def _guarded(
    letters: AsyncIterator[Letter], order: _Order, found: _Found
) -> AsyncIterator[Letter]:
    async for letter in letters:
        found.matching += 1
        if order.returns_max is not None and letter.generation >= order.returns_max:
            found.returned += 1
            continue
        yield letter


def _conclude(order: _Order, found: _Found) -> None:
    result = found.result
    assert result is not None
    if not found.matching:
        _nothing(order)
        return
    if order.as_json:
        print_json(
            {
                order.done: result.resolved,
                "matching": found.matching,
                "returned": found.returned,
                "silent": result.silent,
                "nowhere": result.nowhere,
            }
        )
    else:
        print(f"{result.resolved:,} of {found.matching:,} {order.done}")
    why = []
    if result.silent:
        ids = ", ".join(result.silent_ids[:5]) + (", ..." if result.silent > 5 else "")
        why.append(
            f"no worker {order.done} {ids} within {order.timeout_ms / 1000:g} s: is one running "
            f"for the queue? They are {order.done} when it starts, unless a job is no longer dead"
        )
    if found.returned:
        why.append(
            f"{found.returned:,} came back {order.returns_max} times or more: "
            "--max-returns lets them through"
        )
    for topic, count in result.nowhere.items():
        why.append(
            f"{count:,} have nowhere to go, as there is no topic {topic}: create it with "
            "`streams topics apply`, correct STREAMS_PREFIX, or discard them"
        )
    if why:
        fail("; ".join(why), exits.NEGATIVE)


def _names() -> Any:
    from streams.settings import Settings
    from streams.wire.topics import TopicNames

    return TopicNames(Settings().prefix)


def _rate(rate: str | None) -> float | None:
    from streams.replay.pace import per_second

    try:
        return None if rate is None else per_second(rate)
    except ValueError as error:
        fail(f"--rate: {error}", exits.USAGE)


def _duration(timeout: str) -> int:
    from streams.durations import to_ms

    try:
        return to_ms(timeout)
    except ValueError as error:
        fail(f"--timeout: {error}", exits.USAGE)
