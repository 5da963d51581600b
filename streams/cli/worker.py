"""`streams worker`: one or several workers on this machine."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from streams.cli import exits
from streams.cli.output import fail

if TYPE_CHECKING:
    from streams.settings import Settings

logger = logging.getLogger(__name__)


def worker(
    processes: Annotated[
        int, typer.Option(min=0, help="How many; 0 is one for each core of this machine.")
    ] = 0,
    group: Annotated[str, typer.Option(help="The worker group; default: STREAMS_GROUP.")] = "",
) -> None:
    """Run workers; one that ends by itself is started again, Ctrl-C drains and ends all.

    All settings are those of `faust -A streams.app worker`, which is one of them. Their metrics
    and health are on STREAMS_WEB_PORT, each series with the label `process`.
    """
    if group:
        os.environ["STREAMS_GROUP"] = group
    from streams.settings import Settings

    settings = Settings()
    is_linux = sys.platform == "linux"  # which may give us less than all of the machine
    count = processes or (len(os.sched_getaffinity(0)) if is_linux else os.cpu_count() or 1)
    code = asyncio.run(_run(count, settings))
    if code:
        raise typer.Exit(code if code > 0 else 128 - code)  # killed by signal -code


async def _run(count: int, settings: Settings) -> int:
    from streams.durations import to_ms
    from streams.observe.logs import configure
    from streams.supervisor.children import Children
    from streams.supervisor.web import SupervisorWeb

    configure(settings.log_format, settings.log_level.upper())
    grace = to_ms(settings.grace) / 1000
    children = Children(count, os.environ, settings.instance, grace)
    site = SupervisorWeb(children.children, settings.web_host, settings.web_port)
    try:
        port = await site.start()
    except OSError as error:
        fail(
            f"port {settings.web_port} on {settings.web_host}: {error.strerror}; "
            "set STREAMS_WEB_PORT to another, or to 0 for any free one",
            exits.USAGE,
        )
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, children.end, number)
    logger.info(
        "%d worker%s; metrics and health on http://%s:%d",
        count,
        "" if count == 1 else "s",
        settings.web_host,
        port,
    )
    try:
        return await children.run()
    finally:
        await site.stop()
