"""An app served over HTTP on one socket, until a signal."""

from __future__ import annotations

import asyncio
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

import uvicorn

from streams.errors import SettingsError
from streams.garbage import tune_garbage_collection

_GRACE_S: Final = 5  # for calls that are being answered


def listen(host: str, port: int) -> socket.socket:
    """A socket that listens there.

    Raises:
        SettingsError: it can't.
    """
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        return socket.create_server((host, port), family=family)
    except OSError as error:
        raise SettingsError(
            f"port {port} on {host}: {error.strerror}; choose another with --port"
        ) from error


class _Server(uvicorn.Server):
    """One that leaves signals to us: it would end us by them once more when it is done."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


async def serve(
    app: Any,
    listening: socket.socket,
    told: Callable[[str], None],
    *,
    on_end: Callable[[], None] = lambda: None,
) -> None:
    """Serve until SIGINT or SIGTERM; `told` gets the address, `on_end` is called at the signal."""
    config = uvicorn.Config(
        app,
        log_config=None,  # ours is there
        access_log=False,
        proxy_headers=False,  # what proxies say is believed where a setting says so
        lifespan="on",
        server_header=False,
        timeout_graceful_shutdown=_GRACE_S,
    )
    server = _Server(config)

    def end() -> None:
        on_end()
        server.should_exit = True

    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, end)
    host, port, *_ = listening.getsockname()
    shown = f"[{host}]" if ":" in host else host
    told(f"http://{shown}:{port}")
    tune_garbage_collection()
    await server.serve(sockets=[listening])
