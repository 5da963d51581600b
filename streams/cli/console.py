"""`streams console`: the HTTP interface and the dashboard, and tokens for it."""

from __future__ import annotations

import asyncio
import logging
import socket
from importlib.util import find_spec

import typer

from streams.cli import exits
from streams.cli.output import fail

logger = logging.getLogger(__name__)

app = typer.Typer(
    help="Serve the dashboard and the HTTP interface, until Ctrl-C.",
    epilog=exits.EPILOG,
    invoke_without_command=True,
)


@app.callback()
def console(
    context: typer.Context,
    host: str | None = typer.Option(None, help="Where it listens; else STREAMS_CONSOLE_HOST."),
    port: int | None = typer.Option(
        None, min=0, max=65535, help="Its port, 0 for any free one; else STREAMS_CONSOLE_PORT."
    ),
) -> None:
    """Serve the dashboard and the HTTP interface, until Ctrl-C."""
    if context.invoked_subcommand is not None:
        return
    _check_installed()
    from streams.cli.handlers import known
    from streams.console.access.origins import is_loopback
    from streams.console.access.tokens import read_tokens
    from streams.console.app import make_app
    from streams.console.console import Console
    from streams.console.serving import listen, serve
    from streams.observe.logs import configure

    settings, registry = known()
    where = host or settings.console_host
    if not is_loopback(where) and not read_tokens(settings):
        fail(
            f"nothing may listen on {where} without credentials: make a token with `streams "
            "console token NAME` and set STREAMS_CONSOLE_TOKENS, or listen on 127.0.0.1",
            exits.USAGE,
        )
    configure(settings.log_format, settings.log_level.upper())

    async def run(listening: socket.socket) -> None:
        async with Console(settings, registry) as shared:
            await serve(
                make_app(shared),
                listening,
                lambda at: logger.info("console on %s", at),
                on_end=shared.ending.set,
            )

    with listen(where, settings.console_port if port is None else port) as listening:
        asyncio.run(run(listening))


@app.command("token", epilog=exits.EPILOG)
def token(
    name: str = typer.Argument(metavar="NAME", help="Who has it: it is told with each action."),
    scope: str = typer.Option("read", help="What it may: some of read,act,emit."),
) -> None:
    """Make a token: it is shown once, with the line that lets it in.

    While a service goes over from one to another, both lines may have its name.
    """
    _check_installed()
    from streams.console.access.tokens import new_token

    scopes = [word.strip() for word in scope.split(",") if word.strip()]
    told, entry = new_token(name, scopes)
    print(told)
    print(
        f"\nIt is not shown again. For the console, in STREAMS_CONSOLE_TOKENS (separated by "
        f"commas) or as a line of STREAMS_CONSOLE_TOKENS_FILE:\n\n{entry.line()}"
    )


def _check_installed() -> None:
    if find_spec("fastapi") is None:
        fail('fastapi is not installed: pip install "jobstreams[console]"', exits.USAGE)
