"""Forms of pages: only those that a page of this console has sent count."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, Request
from fastapi.responses import RedirectResponse

from streams.console.access.gate import Rules
from streams.console.access.origins import origin_refusal
from streams.console.pages.render import link
from streams.console.problems import Problem


def from_here(request: Request) -> None:
    """Refuse a form that another site has a browser send.

    Raises:
        Problem: it is not from a page of this console.
    """
    rules: Rules = request.app.state.rules
    site, origin = request.headers.get("sec-fetch-site"), request.headers.get("origin")
    refusal = origin_refusal(origin, site, request.headers.get("host"), rules.hosts)
    if refusal is not None or (origin is None and site != "same-origin"):
        raise Problem(403, "this form was not sent by a page of this console")


FromHere = Annotated[None, Depends(from_here)]


def back(path: str, verb: str, **query: str | None) -> RedirectResponse:
    """To the page that shows what comes of an action."""
    return RedirectResponse(link(path, told=verb, **query), 303)
