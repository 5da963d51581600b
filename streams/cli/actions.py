"""`streams actions`: what operators did."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import typer

from streams.cli import exits
from streams.cli.output import JSON, print_json, print_table, show_time

if TYPE_CHECKING:
    from streams.wire.actions import OperatorAction

app = typer.Typer(help="Look at what operators did.", epilog=exits.EPILOG, no_args_is_help=True)


@app.command("ls", epilog=exits.EPILOG)
def ls(
    limit: int = typer.Option(50, min=1, help="How many, the newest first."),
    as_json: bool = JSON,
) -> None:
    """List what operators did: who, when, to what, how many, and why."""
    found = asyncio.run(_actions())[:limit]
    if as_json:
        print_json(
            [
                {
                    "id": action.id,
                    "by": action.by,
                    "what": action.what,
                    "on": action.on,
                    "reason": action.reason,
                    "began": action.at,
                    "ended": ended,
                    "failed": action.failed or None,
                    "counts": action.counts,
                }
                for action, ended in found
            ]
        )
        return
    print_table(
        ("began", "by", "what", "on", "counts", "reason"),
        [
            (
                show_time(action.at),
                action.by,
                action.what,
                action.on,
                _told(action, ended),
                action.reason,
            )
            for action, ended in found
        ],
    )


def _told(action: OperatorAction, ended: int | None) -> str:
    if ended is None:
        return "(did not end)"
    counts = ", ".join(f"{count:,} {name}" for name, count in action.counts.items())
    return f"{counts} ({action.failed})" if action.failed else counts


async def _actions() -> list[tuple[OperatorAction, int | None]]:
    from streams.replay.actions_log import read_actions
    from streams.settings import Settings
    from streams.wire.topics import TopicNames

    settings = Settings()
    return await read_actions(settings.bootstrap_servers, TopicNames(settings.prefix).actions)
