"""What all routes take: the console, and numbers within bounds."""

from __future__ import annotations

from typing import Annotated, Final

from fastapi import Depends, Query, Request

from streams.console.console import Console

PAGE_MAX: Final = 500
PAGE: Final = 50


def the_console(request: Request) -> Console:
    """The console that serves this request."""
    console: Console = request.app.state.console
    return console


Served = Annotated[Console, Depends(the_console)]
Limit = Annotated[int, Query(ge=1, le=PAGE_MAX, description="How many at most.")]
