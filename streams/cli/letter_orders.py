"""What an operator asked for with dead letters: previewed, asked back, done, and told."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from streams.cli import exits
from streams.cli.letter_changes import Prepare, names
from streams.cli.letters import find_letter, nothing, plain, standing
from streams.cli.output import ask, fail, print_json, print_table, show_time

if TYPE_CHECKING:
    from streams.replay.letter_filter import LetterFilter
    from streams.replay.letters import Letter
    from streams.replay.resolving import Action, Resolved

_SAMPLE: Final = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """Which letters, and what becomes of them."""

    verb: str  # "replay"
    filter: LetterFilter
    reason: str = ""
    how: str = ""  # what else was said, for the record
    rate: float | None
    timeout_ms: int
    returns_max: int | None = None  # letters that came back more often are left
    prepare: Prepare | None = None  # edits a letter, or refuses it
    yes: bool
    dry_run: bool
    as_json: bool

    @property
    def done(self) -> str:
        """The verb's past."""
        return f"{self.verb}ed"


def carry_out(order: Order, action: Action) -> None:
    """Do it, unless it is only to be previewed; ends the command if some are left."""
    if order.dry_run or not order.yes:
        found = asyncio.run(_preview(order))
        if not found.matching:
            _nothing(order, found)
            return
        if order.dry_run:
            _print_preview(order, found)
            return
        count = found.meant
        if not count:
            _conclude(order, found)
            return
        ask(f"{order.verb.capitalize()} {count:,} dead letter{'s' if count != 1 else ''}?")
    try:
        found = asyncio.run(_resolve(order, action))
    except KeyboardInterrupt:
        print(f"\ninterrupted: the same command {order.verb}s those that are left", file=sys.stderr)
        raise
    _conclude(order, found)


@dataclass(slots=True)
class _Found:
    """What was looked at, and what became of it."""

    matching: int = 0
    returned: int = 0  # left: they came back too often
    refused: int = 0  # left: what they are to be would not fit
    why_refused: str = ""  # of the first one
    sample: list[Letter] = field(default_factory=list)
    result: Resolved | None = None

    @property
    def meant(self) -> int:
        """Those that are to be resolved."""
        return self.matching - self.returned - self.refused

    def counts(self) -> dict[str, int]:
        """For the record: how many there were, and how many of them are left, by why."""
        left = {"returned": self.returned, "refused": self.refused}
        if self.result is not None:
            left["silent"] = self.result.silent
            left["nowhere"] = sum(self.result.nowhere.values())
        return {"matching": self.matching, **{why: count for why, count in left.items() if count}}

    async def those_meant(
        self, order: Order, letters: AsyncIterator[Letter]
    ) -> AsyncIterator[Letter]:
        """The letters that nothing speaks against, prepared."""
        from streams.errors import PayloadInvalid

        async for letter in letters:
            self.matching += 1
            if order.returns_max is not None and letter.generation >= order.returns_max:
                self.returned += 1
                continue
            try:
                yield letter if order.prepare is None else order.prepare(letter)
            except PayloadInvalid as error:
                self.refused += 1
                self.why_refused = self.why_refused or f"{letter.id}: {error}"


async def _preview(order: Order) -> _Found:
    found = _Found()
    async with _chosen(order) as letters:
        async for letter in found.those_meant(order, letters):
            if len(found.sample) < _SAMPLE:
                found.sample.append(letter)
    return found


def _nothing(order: Order, found: _Found) -> None:
    if order.filter.letter is not None:
        fail(nothing(order.filter), exits.NOT_FOUND)
    if order.as_json:
        print_json(_as_json(order, found))
    else:
        print(nothing(order.filter))


def _print_preview(order: Order, found: _Found) -> None:
    if order.as_json:
        sample = [plain(letter) for letter in found.sample]
        print_json({**_as_json(order, found), "sample": sample})
        return
    if found.sample:
        _print_sample(found.sample)
    shown = f", {len(found.sample)} of them above" if found.meant > len(found.sample) else ""
    print(f"{found.meant:,} would be {order.done}{shown}; none was")
    if why := _left(order, found):
        fail("; ".join(why), exits.NEGATIVE)


def _print_sample(sample: list[Letter]) -> None:
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


async def _resolve(order: Order, action: Action) -> _Found:
    from rich.progress import MofNCompleteColumn, Progress, SpinnerColumn, TextColumn

    from streams.replay.actions_log import written_down
    from streams.replay.resolving import resolve
    from streams.settings import Settings

    bootstrap = Settings().bootstrap_servers
    found = _Found()
    columns = (SpinnerColumn(), TextColumn("{task.description}"), MofNCompleteColumn())
    log = written_down(
        bootstrap,
        names().actions,
        what=f"dlq {order.verb}",
        on=" ".join(filter(None, (order.filter.told() or "--all", order.how))),
        reason=order.reason,
    )
    async with _chosen(order) as letters, log as counts:
        counts[order.done] = 0
        meant = found.those_meant(order, letters)
        if order.filter.letter is not None:  # it may be edited by hand, before anything else
            meant = _each([letter async for letter in meant])
        with Progress(*columns, **_where()) as progress:
            bar = progress.add_task(f"{order.verb}ing", total=None)

            def note(so_far: Resolved) -> None:
                counts[order.done] = so_far.resolved
                progress.update(bar, completed=so_far.resolved)

            try:
                found.result = await resolve(
                    bootstrap,
                    names(),
                    meant,
                    action,
                    rate=order.rate,
                    timeout_ms=order.timeout_ms,
                    told=note,
                )
            finally:
                counts |= found.counts()
    return found


def _where() -> dict[str, Any]:
    from rich.console import Console

    console = Console(stderr=True)
    return {"console": console, "transient": True, "disable": not console.is_terminal}


@asynccontextmanager
async def _chosen(order: Order) -> AsyncIterator[AsyncIterator[Letter]]:
    if order.filter.letter is None:
        async with standing(order.filter) as letters:
            yield letters
        return
    yield _each([await find_letter(order.filter.letter, order.filter)])


async def _each(letters: list[Letter]) -> AsyncIterator[Letter]:
    for letter in letters:
        yield letter


def _conclude(order: Order, found: _Found) -> None:
    if not found.matching:
        _nothing(order, found)
        return
    if order.as_json:
        print_json(_as_json(order, found))
    elif found.result is not None:
        print(f"{found.result.resolved:,} of {found.matching:,} {order.done}")
    if why := _left(order, found):
        fail("; ".join(why), exits.NEGATIVE)


def _left(order: Order, found: _Found) -> list[str]:
    """Why some of them are left."""
    why = []
    result = found.result
    if result is not None and result.silent:
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
    if found.refused:
        why.append(f"{found.refused:,} would not fit, and stay: {found.why_refused}")
    for topic, count in () if result is None else result.nowhere.items():
        why.append(
            f"{count:,} have nowhere to go, as there is no topic {topic}: create it with "
            "`streams topics apply`, correct STREAMS_PREFIX, or discard them"
        )
    return why


def _as_json(order: Order, found: _Found) -> dict[str, Any]:
    result = found.result
    return {
        order.done: 0 if result is None else result.resolved,
        "matching": found.matching,
        "returned": found.returned,
        "refused": found.refused,
        "silent": 0 if result is None else result.silent,
        "nowhere": {} if result is None else result.nowhere,
    }
