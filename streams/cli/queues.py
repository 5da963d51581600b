"""`streams queues`: the queues, and stopping and starting what is in them."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

import typer

from streams.cli import exits
from streams.cli.output import JSON, fail, print_json, print_table, show_time

if TYPE_CHECKING:
    from streams.settings import Settings
    from streams.worker.control import Control

app = typer.Typer(help="Look at queues, and pause them.", epilog=exits.EPILOG, no_args_is_help=True)

_QUEUE = typer.Argument(metavar="QUEUE", help="A queue of STREAMS_QUEUES.")


@app.command(epilog=exits.EPILOG)
def ls(as_json: bool = JSON) -> None:
    """List queues: whose they are, and since when they are paused."""
    from streams.settings import Settings

    settings = Settings()
    control = asyncio.run(_read(settings))
    paused = control.paused()
    if as_json:
        print_json(
            [
                {
                    "queue": queue,
                    "group": control.owner(queue),
                    "paused": None if (pause := paused.get(queue)) is None else pause.since,
                    "reason": None if pause is None else pause.reason,
                }
                for queue in settings.queues
            ]
        )
        return
    print_table(
        ("queue", "group", "paused since", "reason"),
        [
            (
                queue,
                control.owner(queue) or "",
                show_time(paused[queue].since) if queue in paused else "",
                paused[queue].reason if queue in paused else "",
            )
            for queue in settings.queues
        ],
    )


@app.command(epilog=exits.EPILOG)
def pause(
    queue: str = _QUEUE,
    reason: str = typer.Option("paused with streams queues pause", help="Told to who asks why."),
) -> None:
    """Start nothing more of a queue, on all workers, until it is resumed; what runs goes on."""
    asyncio.run(_write(queue, time.time_ns() // 1_000_000, reason))
    print(f"queue {queue} is paused: within a second workers start nothing of it")


@app.command(epilog=exits.EPILOG)
def resume(queue: str = _QUEUE) -> None:
    """Go on with a queue that was paused."""
    asyncio.run(_write(queue, None, ""))
    print(f"queue {queue} goes on within a second")


async def _write(queue: str, since: int | None, reason: str) -> None:
    from streams.settings import Settings
    from streams.wire.producer import close_producer, open_producer, send
    from streams.wire.topics import TopicNames
    from streams.worker.control import pause_record

    settings = Settings()
    if queue not in settings.queues:
        known = ", ".join(settings.queues)
        fail(f"there is no queue {queue!r}; STREAMS_QUEUES has {known}", exits.USAGE)
    key, value = pause_record(queue, since, reason)
    topic = TopicNames(settings.prefix).control
    producer = await open_producer(settings.bootstrap_servers, "streams-cli")
    try:
        await send(producer, topic, key=key, value=value, partition=0)
    finally:
        await close_producer(producer)


async def _read(settings: Settings) -> Control:
    from streams.replay.reader import read_topics
    from streams.wire.topics import TopicNames
    from streams.worker.control import Control

    topic = TopicNames(settings.prefix).control
    no_log: Any = None  # what is read here is told to it
    control = Control(no_log, topic)
    async for record in read_topics(settings.bootstrap_servers, [topic]):
        control.take(record)
    return control
