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
    asyncio.run(_look(order, queue, run))
    if dry_run or not yes:
        events, jobs = asyncio.run(_count(order))
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


async def _look(order: Order, queue: str, run: str) -> None:
    """Say what speaks against it, before anything is asked or done."""
    from streams.replay.again import queue_partitions
    from streams.wire.topics import TopicNames

    settings = order.settings
    names = TopicNames(settings.prefix)
    await queue_partitions(settings.bootstrap_servers, names, queue)
    await _check_run(order, queue, run)
    await _warn_if_unserved(order, queue)


async def _check_run(order: Order, queue: str, run: str) -> None:
    """A replay that goes on does so in its queue: elsewhere it would do all of it once more."""
    from streams.errors import TopicMismatch
    from streams.replay.actions_log import read_actions
    from streams.replay.again import other_runs
    from streams.wire.topics import TopicNames

    settings = order.settings
    try:
        acts = await read_actions(settings.bootstrap_servers, TopicNames(settings.prefix).actions)
    except TopicMismatch:  # written_down says what to do
        return
    elsewhere, otherwise = other_runs([act for act, _ in acts], run, queue, order.told)
    if elsewhere:
        fail(
            f"--run {run} has sent jobs to the queue {elsewhere[0]}: it would run them once more "
            f"in {queue}; go on with --queue {elsewhere[0]}, or take another name",
            exits.USAGE,
        )
    for told in otherwise[:1]:
        print(
            f"streams: --run {run} was `{told}` before: of what is asked for now only what that "
            "did not send is sent",
            file=sys.stderr,
        )


async def _count(order: Order) -> tuple[int, Counter[str]]:
    from streams.replay.chosen import Chosen

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
    from streams.replay.again import WHAT, Again, reason_of, send_again, sent_before
    from streams.replay.chosen import Chosen
    from streams.wire.topics import TopicNames

    settings = order.settings
    bootstrap, names = settings.bootstrap_servers, TopicNames(settings.prefix)
    again = Again(run, queue)
    there = await sent_before(bootstrap, names, queue, again)
    chosen = Chosen(order.jobs, key=order.key, limit=order.limit)
    columns = (SpinnerColumn(), TextColumn("{task.description}"), MofNCompleteColumn())
    log = written_down(
        bootstrap, names.actions, what=WHAT, on=order.told, reason=reason_of(run, queue)
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
    """Say so if nobody is there to run the jobs, or somebody who can't; they wait."""
    from streams.errors import TopicMismatch
    from streams.replay.workers import read_workers, unready
    from streams.wire.topics import TopicNames

    settings = order.settings
    now = int(time.time() * 1000)
    try:
        workers = await read_workers(
            settings.bootstrap_servers, TopicNames(settings.prefix).workers
        )
    except TopicMismatch:
        workers = []
    for why in unready(workers, queue, [each.name for each in order.jobs], now):
        print(f"streams: {why}", file=sys.stderr)


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
