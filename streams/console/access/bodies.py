"""Bodies within bounds: of size while they are read, whatever their length says, and of time."""

from __future__ import annotations

import asyncio
from typing import Final

from fastapi import HTTPException

from streams.console.paths import App, Message, Receive, Scope, Send
from streams.console.problems import Problem, answer

BODY_MAX: Final = 1024 * 1024
MANY_MAX: Final = 8 * 1024 * 1024
_MANY: Final = frozenset(("/jobs/batch", "/events"))
READ_S: Final = 30.0


class BodyRefused(HTTPException):
    """A body is too large, or too slow."""


class Bodies:
    """Refuses what is too large with 413, and what takes too long with 408."""

    def __init__(self, app: App, read_s: float = READ_S) -> None:
        self._app = app
        self._read_s = read_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        limit = MANY_MAX if scope["path"] in _MANY else BODY_MAX
        bounded = _Bounded(receive, limit, self._read_s, _length(scope))
        try:
            await self._app(scope, bounded.next, send)
        except BodyRefused as error:  # before any route was reached
            problem = Problem(error.status_code, str(error.detail), headers=error.headers)
            await answer(problem, scope)(scope, receive, send)


class _Bounded:
    def __init__(self, receive: Receive, limit: int, read_s: float, length: int) -> None:
        self._receive = receive
        self._limit = limit
        self._read_s = read_s
        self._length = length
        self._read = 0
        self._until: float | None = None
        self._is_read = False

    async def next(self) -> Message:
        """The next part of the body, then what else there is."""
        if self._is_read:
            return await self._receive()
        if self._length > self._limit:
            raise self._too_large()
        loop = asyncio.get_running_loop()
        if self._until is None:
            self._until = loop.time() + self._read_s
        try:
            async with asyncio.timeout_at(self._until):
                message = await self._receive()
        except TimeoutError:
            why = f"the body did not arrive within {self._read_s:g} s"
            raise BodyRefused(408, why, headers={"Connection": "close"}) from None
        if message["type"] == "http.request":
            self._read += len(message.get("body", b""))
            self._is_read = not message.get("more_body", False)
            if self._read > self._limit:
                raise self._too_large()
        else:
            self._is_read = True
        return message

    def _too_large(self) -> BodyRefused:
        return BodyRefused(
            413,
            f"the body has more than {self._limit} bytes: send less at a time, or store the data "
            "elsewhere and send a reference to it",
            headers={"Connection": "close"},
        )


def _length(scope: Scope) -> int:
    for name, value in scope["headers"]:
        if name == b"content-length" and value.isdigit() and len(value) < 19:
            return int(value)
    return 0
