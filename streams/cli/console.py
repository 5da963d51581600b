"""`streams console`: the HTTP interface and the dashboard."""

from __future__ import annotations

import asyncio
import logging
import socket
from importlib.util import find_spec

import typer

from streams.cli import exits
from streams.cli.output import fail

logger = logging.getLogger(__name__)


def console(
    host: str = typer.Option("127.0.0.1", help="Where it listens."),
    port: int = typer.Option(8001, min=0, max=65535, help="Its port; 0 for any free one."),
) -> None:
    """Serve the dashboard and the HTTP interface, until Ctrl-C."""
    if find_spec("fastapi") is None:
        fail('fastapi is not installed: pip install "jobstreams[console]"', exits.USAGE)
    from streams.cli.handlers import known
    from streams.console.app import make_app
    from streams.console.console import Console
    from streams.console.serving import listen, serve
    from streams.observe.logs import configure

    settings, registry = known()
    configure(settings.log_format, settings.log_level.upper())

    async def run(listening: socket.socket) -> None:
        async with Console(settings, registry) as shared:
            await serve(make_app(shared), listening, lambda at: logger.info("console on %s", at))

    with listen(host, port) as listening:
        asyncio.run(run(listening))
