"""Forms of pages: only those that a page of this console has sent count."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import urlsplit

from fastapi import Depends, Request
from fastapi.responses import RedirectResponse

from streams.console.pages.render import link
from streams.console.problems import Problem


def from_here(request: Request) -> None:
    """Refuse a form that another site has a browser send.

    Raises:
        Problem: it is not from a page of this console.
    """
    site = request.headers.get("sec-fetch-site")
    origin = request.headers.get("origin")
    is_ours = origin is not None and urlsplit(origin).netloc == request.headers.get("host")
    if site not in (None, "same-origin", "none") or not (is_ours or site == "same-origin"):
        raise Problem(403, "this form was not sent by a page of this console")


FromHere = Annotated[None, Depends(from_here)]


def back(path: str, verb: str, **query: str | None) -> RedirectResponse:
    """To the page that shows what comes of an action."""
    return RedirectResponse(link(path, told=verb, **query), 303)
