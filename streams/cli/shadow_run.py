"""The program of the process in which old events run in shadow: it runs them, and tells."""

from __future__ import annotations

import asyncio
import faulthandler
import logging
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import orjson
import typer

from streams.cli import exits
from streams.cli.history_replay import Order
from streams.cli.shadow_told import print_report
from streams.errors import BrokerUnavailable, StreamsError

if TYPE_CHECKING:
    from streams.jobs.outcome import StoredResult
    from streams.replay.marks import Marks
    from streams.replay.shadow_report import ShadowReport
    from streams.settings import Settings
    from streams.worker.children import Appends
    from streams.worker.ports import Processes


@dataclass(frozen=True, slots=True, kw_only=True)
class ShadowOrder:
    """What an operator asked for, as it is said to another process; times in ms since the epoch."""

    path: tuple[str, ...]  # where modules are
    event: str
    jobs: tuple[str, ...]
    since: int
    until: int
    now: int
    key: str | None
    limit: int | None
    as_json: bool
    told: str
    concurrency: int
    ignored: tuple[str, ...]
    shown: int

    def encode(self) -> bytes:
        """As bytes."""
        return orjson.dumps(asdict(self))


def main(marks: Path, parent: int) -> None:
    """Do what is asked for on standard input, for as long as that process lives."""
    from streams.replay.marks import Marks
    from streams.worker.process_main import end_with

    end_with(parent)
    faulthandler.enable()  # a crash of native code says where
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
    asked = ShadowOrder(**orjson.loads(sys.stdin.buffer.read()))
    sys.path[:] = asked.path
    told = Marks(marks)
    report, code = _exit_code(lambda report: _run(asked, report, told), asked)
    sys.stdout.flush()
    told.count(report.jobs, report.different, code)
    sys.exit(code)


def _exit_code(run: Callable[[ShadowReport], int], asked: ShadowOrder) -> tuple[ShadowReport, int]:
    from streams.replay.shadow_report import ShadowReport

    report = ShadowReport(asked.shown, frozenset(asked.ignored))
    try:
        return report, run(report)
    except typer.Exit as ended:
        return report, ended.exit_code
    except StreamsError as error:
        print(f"streams: {error}", file=sys.stderr)
        no_broker = isinstance(error, BrokerUnavailable)
        return report, exits.NO_BROKER if no_broker else exits.USAGE
    except KeyboardInterrupt:
        return report, exits.INTERRUPTED
    except BrokenPipeError:  # the reader of our output has gone
        sys.stderr.close()
        return report, exits.NEGATIVE


def _run(asked: ShadowOrder, report: ShadowReport, marks: Marks) -> int:
    order = _order(asked)
    report.begin(asked.jobs)
    notes: list[str] = []
    try:
        with _output_kept():
            asyncio.run(_replay(order, asked, report, notes, marks))
    except KeyboardInterrupt:
        notes.append("interrupted: this is what was found until then")
        print_report(order, report, notes)
        raise
    return print_report(order, report, notes)


def _order(asked: ShadowOrder) -> Order:
    from streams.cli.handlers import loaded

    settings, registry = loaded(to_run=True)
    known = {each.name: each for each in registry.definitions()}
    return Order(
        settings=settings,
        registry=registry,
        event=asked.event,
        jobs=[known[name] for name in asked.jobs],
        since=asked.since,
        until=asked.until,
        now=asked.now,
        key=asked.key,
        limit=asked.limit,
        as_json=asked.as_json,
        told=asked.told,
    )


async def _replay(
    order: Order, asked: ShadowOrder, report: ShadowReport, notes: list[str], marks: Marks
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

    concurrency = asked.concurrency
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
                ignored=report.ignored,
                marks=marks,
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


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
