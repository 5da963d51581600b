"""Names in paths: a slash that was written as %2F belongs to its name, and parts no path."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Annotated, Any
from urllib.parse import quote, unquote, urlencode

from fastapi import Path
from pydantic import AfterValidator

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]


def kept_apart(raw_path: bytes) -> str:
    """A path whose names have no slash: `~` is written as ~0 and a slash in a name as ~1."""
    return "/".join(
        unquote(part).replace("~", "~0").replace("/", "~1")
        for part in raw_path.decode("latin-1").split("/")
    )


def name_in(part: str) -> str:
    """The name that a part of such a path is."""
    return part.replace("~1", "/").replace("~0", "~")


Name = Annotated[str, Path(max_length=2_000), AfterValidator(name_in)]
"""A parameter of a path: an id, a queue, a schedule."""


def job_path(id: str, **which: str) -> str:
    """Where a job is to be read; `which` tells it from others with its id."""
    path = f"/jobs/{quote(id, safe='')}"
    return f"{path}?{urlencode(which)}" if which else path


class NamesInPaths:
    """Puts what `kept_apart` makes of it in the place of each path."""

    def __init__(self, app: App) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] == "http" and scope.get("raw_path"):
            scope["path"] = kept_apart(scope["raw_path"])  # in place: others note its route
        await self._app(scope, receive, send)
