"""`streams cron serve`: schedules that a clock elsewhere calls for, over HTTP."""

from __future__ import annotations

import asyncio
import logging
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from typing import TYPE_CHECKING

import typer

from streams.cli import exits
from streams.cli.handlers import loaded
from streams.cli.output import fail

if TYPE_CHECKING:
    from streams.console.cron import App

logger = logging.getLogger(__name__)

_GRACE_S = 5  # for calls that are being answered


def serve(
    host: str = typer.Option("127.0.0.1", help="Where it listens."),
    port: int = typer.Option(8002, min=0, max=65535, help="Its port; 0 for any free one."),
) -> None:
    """Serve GET and POST /cron/NAME to callers that send CRON_SECRET, until Ctrl-C."""
    if find_spec("uvicorn") is None:
        fail('uvicorn is not installed: pip install "jobstreams[console]"', exits.USAGE)
    from streams.console.cron import cron_app
    from streams.console.secret import read_secret
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
        await _serve(cron_app(caller, secret), listening)

    with _listen(host, port) as listening:
        asyncio.run(run(listening))


def _listen(host: str, port: int) -> socket.socket:
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        return socket.create_server((host, port), family=family)
    except OSError as error:
        fail(f"port {port} on {host}: {error.strerror}; choose another with --port", exits.USAGE)


async def _serve(app: App, listening: socket.socket) -> None:
    import uvicorn

    class Server(uvicorn.Server):
        """One that leaves signals to us: it would end us by them once more when it is done."""

        @contextmanager
        def capture_signals(self) -> Iterator[None]:
            yield

    config = uvicorn.Config(
        app,
        log_config=None,  # ours is there; without access log, as each call has a line
        access_log=False,
        lifespan="on",
        server_header=False,
        timeout_graceful_shutdown=_GRACE_S,
    )
    server = Server(config)

    def end() -> None:
        server.should_exit = True

    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, end)
    host, port, *_ = listening.getsockname()
    shown = f"[{host}]" if ":" in host else host
    logger.info("calls of schedules on http://%s:%d/cron/NAME", shown, port)
    await server.serve(sockets=[listening])
