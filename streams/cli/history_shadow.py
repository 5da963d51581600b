"""`streams history replay --shadow`: what differs, for people and for programs."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import typer

from streams.cli import exits
from streams.cli.output import ask, print_blocks, print_json, print_table, show_time

if TYPE_CHECKING:
    from streams.cli.history_replay import Order
    from streams.jobs.outcome import StoredResult
    from streams.replay.shadow_report import Compared, ShadowReport
    from streams.settings import Settings
    from streams.worker.children import Appends
    from streams.worker.ports import Processes


def run_shadow(
    order: Order, *, concurrency: int, ignored: frozenset[str], shown: int, yes: bool
) -> None:
    """Run it, and end the command: with exit code 1 if something differs."""
    from streams.replay.shadow_report import ShadowReport

    _warn_of_effects(order, yes)
    report = ShadowReport(shown)
    report.begin([each.name for each in order.jobs])
    notes: list[str] = []
    try:
        with _output_kept():
            asyncio.run(_replay(order, report, notes, concurrency, ignored))
    except KeyboardInterrupt:
        notes.append("interrupted: this is what was found until then")
        _print(order, report, notes)
        raise
    _print(order, report, notes)
    if report.different:
        raise typer.Exit(exits.NEGATIVE)


def _warn_of_effects(order: Order, yes: bool) -> None:
    """A handler that never looks whether it runs in shadow may well write a mail to somebody."""
    heedless = [each.name for each in order.jobs if not each.heeds_shadow]
    if not heedless or yes:
        return
    told = (
        f"{', '.join(heedless)}: what it does beside ctx.enqueue and ctx.emit is done for real, as "
        "nothing of it looks at ctx.shadow"
    )
    print(f"streams: {told}", file=sys.stderr)
    if sys.stdin.isatty():
        ask("Run it?")


async def _replay(
    order: Order, report: ShadowReport, notes: list[str], concurrency: int, ignored: frozenset[str]
) -> None:
    from rich.console import Console
    from rich.progress import MofNCompleteColumn, Progress, SpinnerColumn, TextColumn

    from streams.durations import to_ms
    from streams.kafka.clock import WallClock
    from streams.replay.chosen import Chosen
    from streams.replay.history import open_history
    from streams.replay.recorded import read_recorded
    from streams.replay.shadow import Shadow
    from streams.replay.shadow_replay import ShadowReplay
    from streams.wire.topics import TopicNames

    settings, registry = order.settings, order.registry
    names = TopicNames(settings.prefix)
    shadow = Shadow(
        order.jobs,
        WallClock(),
        names,
        concurrency=concurrency,
        threads=concurrency,
        processes=lambda log: _processes(settings, order, log, concurrency),
    )
    columns = (SpinnerColumn(), TextColumn("{task.description}"), MofNCompleteColumn())
    progress = Progress(
        *columns, console=Console(stderr=True), transient=True, redirect_stdout=False
    )
    history = open_history(
        settings.bootstrap_servers,
        names.event(order.event),
        order.event,
        since=order.since,
        until=order.until,
    )
    with progress:
        bar = progress.add_task("reading what was recorded", total=None)
        async with (
            history as past,
            read_recorded(
                settings.bootstrap_servers,
                names,
                queues=settings.queues,
                events=sorted(registry.event_types()),
                jobs=[each.name for each in order.jobs],
                since=order.since,
                trimmed=order.now - to_ms(settings.trim_after),
            ) as recorded,
            shadow,
        ):
            if past.is_cut:
                notes.append("the topic has not kept all events since then")
            progress.update(bar, description="events", total=past.total)
            chosen = Chosen(shadow.definitions, key=order.key, limit=order.limit)
            replay = ShadowReplay(
                shadow,
                recorded,
                report,
                lambda stored: _fetch(settings, stored),
                side_by_side=concurrency,
                ignored=ignored,
            )

            def told() -> None:
                report.events, report.unreadable = chosen.events, chosen.unreadable
                progress.update(bar, completed=past.looked_at)

            await replay.run(chosen.of(past.events()), told)
            told()


def _processes(settings: Settings, order: Order, log: Appends, concurrency: int) -> Processes:
    from streams.worker.processes import PoolOptions, ProcessPool, cores, modules_of

    options = PoolOptions(
        modules=modules_of(order.jobs),
        count=min(concurrency, settings.processes or cores()),
        jobs_max=settings.process_jobs,
        memory_max=settings.process_memory_mb * 1024 * 1024,
        prefix=settings.prefix,
        log_format=settings.log_format,
        log_level=settings.log_level.upper(),
    )
    return ProcessPool(options, log)


async def _fetch(settings: Settings, stored: StoredResult) -> bytes:
    from streams.wire.objects import open_objects

    return await open_objects(settings.objects_at).get(stored.path)


@contextmanager
def _output_kept() -> Iterator[None]:
    """Standard output is for the report: what handlers print, in whichever process, is not it."""
    sys.stdout.flush()
    kept = os.dup(1)
    try:
        os.dup2(2, 1)
        yield
    finally:
        sys.stdout.flush()
        os.dup2(kept, 1)
        os.close(kept)


def _print(order: Order, report: ShadowReport, notes: list[str]) -> None:
    from streams.durations import to_ms
    from streams.replay.recorded import NO_RECORD

    kept = order.settings.ledger_kept
    if report.why_unrecorded[NO_RECORD] and order.since < order.now - to_ms(kept):
        notes.append(f"jobs are on record for {kept} after their end: see STREAMS_LEDGER_KEPT")
    if report.unreadable:
        notes.append(f"{report.unreadable:,} events can't be read")
    for note in notes:
        print(f"streams: {note}", file=sys.stderr)
    if order.as_json:
        print_json(_plain(report))
        return
    if not report.events:
        print(f"there are no such events: {order.told}")
        return
    print_table(
        ("job", "same", "different", "unrecorded"),
        [
            (job, f"{counts.same:,}", f"{counts.different:,}", f"{counts.unrecorded:,}")
            for job, counts in report.by_job.items()
        ],
    )
    print_blocks(_block(each) for each in report.shown)
    more = report.different - len(report.shown)
    if more > 0:
        print(f"{more:,} more differ: --show {report.different} shows them all")
    if report.unrecorded:
        why = ", ".join(f"{count:,}: {text}" for text, count in report.why_unrecorded.items())
        now = ", ".join(f"{count:,} {ended}" for ended, count in report.ended_unrecorded.items())
        print(f"nothing to compare with ({why}); in shadow {now or 'none ran'}")
    if report.sent:
        held = ", ".join(f"{count:,} {name}" for name, count in report.sent.most_common())
        unknown = f" ({report.sent_unknown:,} not compared)" if report.sent_unknown else ""
        print(f"held back: {held}{unknown}")
    print(f"{report.events:,} events, {report.jobs:,} jobs: {report.different:,} differ")


def _block(one: Compared) -> tuple[str, list[tuple[str, str]]]:
    lines = [
        ("event", f"{one.event} of {show_time(one.time)}, {one.place}"),
        ("key", one.key or ""),
    ]
    for each in one.differences:
        lines += [(f"{each.what} then", each.then), ("now", each.now)]
    return f"{one.job}  {one.id}", lines


def _plain(report: ShadowReport) -> dict[str, Any]:
    return {
        "events": report.events,
        "unreadable": report.unreadable,
        "jobs": report.jobs,
        "same": report.same,
        "different": report.different,
        "unrecorded": report.unrecorded,
        "byJob": {
            job: {
                "same": counts.same,
                "different": counts.different,
                "unrecorded": counts.unrecorded,
            }
            for job, counts in report.by_job.items()
        },
        "byWhat": dict(report.by_what),
        "whyUnrecorded": dict(report.why_unrecorded),
        "unrecordedNow": dict(report.ended_unrecorded),
        "heldBack": dict(report.sent),
        "heldBackNotCompared": report.sent_unknown,
        "differences": [
            {
                "job": one.job,
                "id": one.id,
                "key": one.key,
                "event": one.event,
                "place": one.place,
                "time": one.time,
                "differences": [
                    {"what": each.what, "then": each.then, "now": each.now}
                    for each in one.differences
                ],
            }
            for one in report.shown
        ],
    }
