"""`streams topics`: what the topics are, and what they should be."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import typer

from streams.cli import exits
from streams.cli.output import JSON, print_json, print_table

if TYPE_CHECKING:
    from streams.wire.admin import TopicChange

app = typer.Typer(help="Create and check topics.", epilog=exits.EPILOG, no_args_is_help=True)


@app.command(epilog=exits.EPILOG)
def plan(as_json: bool = JSON) -> None:
    """Say what `apply` would do; exit code 1 if anything."""
    from streams.wire.admin import Verdict

    found = asyncio.run(changes(apply=False))
    _show(found, as_json)
    if any(change.verdict is not Verdict.OK for change in found):
        raise typer.Exit(exits.NEGATIVE)


@app.command(epilog=exits.EPILOG)
def apply(as_json: bool = JSON) -> None:
    """Create what is missing and set what differs; changes nothing if a topic contradicts."""
    _show(asyncio.run(changes(apply=True)), as_json)


async def changes(*, apply: bool) -> list[TopicChange]:
    """What differs from what should be, after it was set right if `apply`."""
    from streams.jobs.discovery import handler_modules, load_handlers
    from streams.jobs.registry import Registry
    from streams.settings import Settings
    from streams.wire.admin import apply_topics, open_admin, plan_topics
    from streams.wire.topics import TopicNames, specs

    settings = Settings()
    registry = Registry.build(load_handlers(handler_modules(settings.handlers)), settings.queues)
    wanted = specs(
        TopicNames(settings.prefix),
        registry.queues(),
        registry.event_types(),
        settings.partitions,
        settings.replication,
    )
    async with open_admin(settings.bootstrap_servers) as admin:
        return await (apply_topics if apply else plan_topics)(admin, wanted)


def _show(found: list[TopicChange], as_json: bool) -> None:
    if as_json:
        print_json(
            [
                {
                    "topic": change.spec.name,
                    "verdict": change.verdict.value,
                    "found": change.found,
                    "wanted": change.wanted,
                    "remedy": change.remedy,
                }
                for change in found
            ]
        )
        return
    print_table(
        ("topic", "verdict", "found", "wanted", "remedy"),
        [
            (change.spec.name, change.verdict.value, change.found, change.wanted, change.remedy)
            for change in found
        ],
    )
