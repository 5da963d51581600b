"""Headers of every answer: what a browser may do with it, and that nobody keeps it."""

from __future__ import annotations

from typing import Final

from streams.console.paths import App, Message, Receive, Scope, Send

_POLICY: Final = (
    "default-src 'self'; img-src 'self' data:; object-src 'none'; base-uri 'none'; "
    "form-action 'self'; frame-ancestors 'none'"
)
_HEADERS: Final = (
    (b"content-security-policy", _POLICY.encode()),
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    # Not no-referrer: with that, forms of our own pages would come without their origin.
    (b"referrer-policy", b"same-origin"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
)
_KEPT: Final = b"public, max-age=31536000, immutable"  # their addresses have a version


class Headers:
    """Adds them, where an answer does not say otherwise."""

    def __init__(self, app: App) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        is_static = scope["path"].startswith("/static/") and b"v=" in scope["query_string"]

        async def told(message: Message) -> None:
            if message["type"] == "http.response.start":
                given = [*message.get("headers", ())]
                names = {name.lower() for name, _ in given}
                is_good = message["status"] in (200, 304)
                cache = _KEPT if is_static and is_good else b"no-store"
                for name, value in (*_HEADERS, (b"cache-control", cache)):
                    if name not in names:
                        given.append((name, value))
                message = {**message, "headers": given}
            await send(message)

        await self._app(scope, receive, told)
