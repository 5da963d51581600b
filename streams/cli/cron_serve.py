"""`streams cron serve`: schedules that a clock elsewhere calls for, over HTTP."""

from __future__ import annotations

import asyncio
import logging
import socket
from importlib.util import find_spec

import typer

from streams.cli import exits
from streams.cli.handlers import loaded
from streams.cli.output import fail

logger = logging.getLogger(__name__)


def serve(
    host: str = typer.Option("127.0.0.1", help="Where it listens."),
    port: int = typer.Option(8002, min=0, max=65535, help="Its port; 0 for any free one."),
) -> None:
    """Serve GET and POST /cron/NAME to callers that send CRON_SECRET, until Ctrl-C."""
    if find_spec("uvicorn") is None:
        fail('uvicorn is not installed: pip install "jobstreams[console]"', exits.USAGE)
    from streams.console.cron import cron_app
    from streams.console.secret import read_secret
    from streams.console.serving import listen
    from streams.console.serving import serve as serve_app
    from streams.observe.logs import configure
    from streams.schedules.caller import Caller

    settings, registry = loaded()
    secret = read_secret(settings)
    if not secret:
        fail(
            "no CRON_SECRET is set, without which anybody could call: set it, or CRON_SECRET_FILE",
            exits.USAGE,
        )
    configure(settings.log_format, settings.log_level.upper())

    async def run(listening: socket.socket) -> None:
        caller = Caller(settings.bootstrap_servers, settings.prefix, registry)
        await serve_app(
            cron_app(caller, secret),
            listening,
            lambda at: logger.info("calls of schedules on %s/cron/NAME", at),
        )

    with listen(host, port) as listening:
        asyncio.run(run(listening))
