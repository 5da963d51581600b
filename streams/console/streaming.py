"""Streams of server-sent events, which end for a reader that takes nothing."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from typing import Any, Final

from sse_starlette import EventSourceResponse
from sse_starlette.sse import SendTimeoutError

from streams.console.paths import Receive, Scope, Send

logger = logging.getLogger(__name__)

PING_S: Final = 15
SEND_S: Final = 10.0


class EventStream(EventSourceResponse):
    """One reader's; nothing is buffered for it beyond what its connection holds."""

    def __init__(self, events: AsyncIterator[dict[str, Any]], *, send_s: float = SEND_S) -> None:
        super().__init__(
            events,
            ping=PING_S,
            send_timeout=send_s,
            headers={"X-Accel-Buffering": "no"},  # which proxies heed
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send until the events end, or the reader does."""
        try:
            await super().__call__(scope, receive, send)
        except SendTimeoutError:
            logger.info("a reader of %s took nothing for too long: it is dropped", scope["path"])
