"""`streams history replay` without `--shadow`: old events as real jobs of a replay."""

from __future__ import annotations

import asyncio
import sys
import time
from collections import Counter
from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING

from streams.cli import exits
from streams.cli.output import ask, fail, print_json, print_table

if TYPE_CHECKING:
    from streams.cli.history_replay import Order
    from streams.replay.again import SentAgain
    from streams.replay.history import History


def run_again(order: Order, *, queue: str, run: str, rate: str, dry_run: bool, yes: bool) -> None:
    """Send the jobs, once somebody has agreed to it."""
    from streams.replay.again import SentAgain
    from streams.replay.pace import per_second

    try:
        pace = per_second(rate)
    except ValueError as error:
        fail(f"--rate: {error}", exits.USAGE)
    if dry_run or not yes:
        events, jobs = asyncio.run(_count(order, queue))
        if dry_run:
            _print_count(order, events, jobs)
        if not jobs:
            fail(f"there are no such events: {order.told}", exits.NOT_FOUND)
        if dry_run:
            return
        total = sum(jobs.values())
        told = ", ".join(f"{count:,} of {name}" for name, count in jobs.items())
        ask(f"Run {told} again, in the queue {queue}, in about {_how_long(total / pace)}?")
    so_far = SentAgain()
    try:
        asyncio.run(_send(order, queue, run, pace, so_far))
    except BaseException:
        print(
            f"streams: {sum(so_far.sent.values()):,} jobs were sent; with --run {run} the same "
            "command goes on with the rest",
            file=sys.stderr,
        )
        raise
    _print_sent(order, queue, run, so_far)
    if not so_far.there and not so_far.too_large and not so_far.sent:
        fail(f"there are no such events: {order.told}", exits.NOT_FOUND)


async def _count(order: Order, queue: str) -> tuple[int, Counter[str]]:
    from streams.replay.again import queue_partitions
    from streams.replay.chosen import Chosen
    from streams.wire.topics import TopicNames

    settings = order.settings
    await queue_partitions(settings.bootstrap_servers, TopicNames(settings.prefix), queue)
    chosen = Chosen(order.jobs, key=order.key, limit=order.limit)
    jobs: Counter[str] = Counter()
    async with _history(order) as past:
        async for _, made in chosen.of(past.events()):
            jobs.update(job.name for _, job in made)
    return chosen.events, jobs


async def _send(order: Order, queue: str, run: str, pace: float, so_far: SentAgain) -> None:
    from rich.console import Console
    from rich.progress import MofNCompleteColumn, Progress, SpinnerColumn, TextColumn

    from streams.replay.actions_log import written_down
    from streams.replay.again import Again, queue_partitions, send_again, sent_before
    from streams.replay.chosen import Chosen
    from streams.wire.topics import TopicNames

    settings = order.settings
    bootstrap, names = settings.bootstrap_servers, TopicNames(settings.prefix)
    await queue_partitions(bootstrap, names, queue)
    await _warn_if_unserved(order, queue)
    again = Again(run, queue)
    there = await sent_before(bootstrap, names, queue, again)
    chosen = Chosen(order.jobs, key=order.key, limit=order.limit)
    columns = (SpinnerColumn(), TextColumn("{task.description}"), MofNCompleteColumn())
    reason = f"run {run} in the queue {queue}"
    log = written_down(
        bootstrap, names.actions, what="history replay", on=order.told, reason=reason
    )
    async with _history(order) as past, log as counts:
        if past.is_cut:
            print("streams: the topic has not kept all events since then", file=sys.stderr)
        with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
            bar = progress.add_task("events", total=past.total)

            def told() -> None:
                counts["sent"] = sum(so_far.sent.values())
                progress.update(bar, completed=past.looked_at)

            await send_again(
                bootstrap,
                names,
                queue,
                again,
                chosen.of(past.events()),
                there=there,
                rate=pace,
                so_far=so_far,
                told=told,
            )


def _history(order: Order) -> AbstractAsyncContextManager[History]:
    from streams.replay.history import open_history
    from streams.wire.topics import TopicNames

    return open_history(
        order.settings.bootstrap_servers,
        TopicNames(order.settings.prefix).event(order.event),
        order.event,
        since=order.since,
        until=order.until,
    )


async def _warn_if_unserved(order: Order, queue: str) -> None:
    """Say so if nobody is there to run the jobs; they wait."""
    from streams.errors import TopicMismatch
    from streams.replay.workers import read_workers
    from streams.wire.topics import TopicNames

    settings = order.settings
    now = int(time.time() * 1000)
    try:
        workers = await read_workers(
            settings.bootstrap_servers, TopicNames(settings.prefix).workers
        )
    except TopicMismatch:
        workers = []
    if not any(queue in each.partitions and not each.is_gone(now) for each in workers):
        print(f"streams: no worker serves the queue {queue}: jobs wait for one", file=sys.stderr)


def _print_count(order: Order, events: int, jobs: Counter[str]) -> None:
    if order.as_json:
        print_json({"events": events, "jobs": dict(jobs)})
    elif jobs:
        print_table(("job", "would run"), [(name, f"{n:,}") for name, n in jobs.items()])
        print(f"{events:,} events; nothing was sent")


def _print_sent(order: Order, queue: str, run: str, so_far: SentAgain) -> None:
    sent = sum(so_far.sent.values())
    if so_far.too_large:
        print(
            f"streams: {so_far.too_large:,} are too large for a queue, and were left out",
            file=sys.stderr,
        )
    if order.as_json:
        print_json(
            {
                "run": run,
                "queue": queue,
                "sent": sent,
                "jobs": dict(so_far.sent),
                "sentBefore": so_far.there,
                "tooLarge": so_far.too_large,
            }
        )
        return
    if not sent and not so_far.there:
        return
    before = f"; {so_far.there:,} had been before" if so_far.there else ""
    print(f"{sent:,} jobs were sent to the queue {queue} as --run {run}{before}")


def _how_long(seconds: float) -> str:
    from streams.durations import format_ms

    return format_ms(max(1, round(seconds)) * 1_000)
