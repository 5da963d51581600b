"""Many jobs or dead letters at once: how many it would be, then the order."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Final, Literal

from fastapi import APIRouter, Form, Request
from fastapi.responses import HTMLResponse, RedirectResponse
from pydantic import Field

from streams.console.api.shared import Served, Who
from streams.console.bulk import Order
from streams.console.cancelling import Cancellation
from streams.console.counting import count
from streams.console.pages.asked import Asked
from streams.console.pages.forms import FromHere
from streams.console.pages.sure import ask_first
from streams.console.problems import Problem
from streams.projection.file import now_ms
from streams.projection.states import DEAD
from streams.replay.letter_filter import LetterFilter
from streams.replay.letters import Letter
from streams.wire.times import LATEST

router = APIRouter(include_in_schema=False)

_VERBS: Final = ("replay", "discard")


class Looked(Asked):
    """Which letters, and what may become of them."""

    verb: Literal["replay", "discard"]


class Ordered(Asked):
    """Which of them, as they were when somebody looked at how many it is; and how."""

    until: int | None = Field(None, ge=0, le=LATEST)
    reason: str = Field("", max_length=1_000)
    rate: str = Field("", max_length=20)


@router.post("/ui/dead-letters/preview", response_class=HTMLResponse)
async def preview(
    request: Request, console: Served, _: FromHere, wanted: Annotated[Looked, Form()]
) -> HTMLResponse:
    """A question with how many letters it is about, and some of them."""
    until = now_ms()
    found = await count(console, replace(wanted.filter(), states=frozenset({DEAD})))
    return ask_first(
        request,
        "bulk_form.html",
        leave=wanted.link("/ui/dead-letters"),
        verb=wanted.verb,
        found=found,
        until=until,
        fields=wanted.fields,
    )


@router.post("/ui/dead-letters/{verb}")
async def act(
    console: Served, who: Who, _: FromHere, verb: str, wanted: Annotated[Ordered, Form()]
) -> RedirectResponse:
    """Begin, and go to where it can be followed."""
    if verb not in _VERBS:
        raise Problem(404, f"nothing can be done that is called {verb!r}")
    bulk = console.bulks.start(_order(verb, wanted), who)
    return RedirectResponse(f"/ui/actions/{bulk.id}", 303)


def _order(verb: str, wanted: Ordered) -> Order:
    """What the page lists, and no more.

    Raises:
        Problem: the rate is none.
    """
    text, rate = wanted.q.casefold(), wanted.rate
    if rate and not (rate.isascii() and rate.isdigit() and 0 < int(rate) <= 1_000_000):
        raise Problem(422, "rate: write a number of letters a second")

    def only(letter: Letter) -> bool:
        if letter.job is None or (wanted.error and letter.error != wanted.error):
            return False
        said = (letter.id, letter.job.ordering_key or "", letter.message)
        return not text or any(text in each.casefold() for each in said)

    filter_ = wanted.filter()
    made = LetterFilter(
        queue=wanted.queue or None,
        job=wanted.name or None,
        key=wanted.key or None,
        since=filter_.since,
        until=min((at for at in (wanted.until, filter_.until) if at is not None), default=None),
    )
    also = {"--error": wanted.error, "--text": wanted.q}
    return Order(
        verb=verb,
        filter=made,
        only=only,
        told=" ".join(f"{option} {value}" for option, value in also.items() if value),
        reason=wanted.reason,
        rate=float(rate) if rate else None,
    )


@router.post("/ui/jobs/cancel/preview", response_class=HTMLResponse)
async def preview_cancellation(
    request: Request, console: Served, _: FromHere, wanted: Annotated[Asked, Form()]
) -> HTMLResponse:
    """A question with how many jobs it is about, and some of them."""
    found = await count(console, _cancellation(wanted).open)
    leave = wanted.link()
    return ask_first(request, "cancel_form.html", leave=leave, found=found, fields=wanted.fields)


@router.post("/ui/jobs/cancel")
async def cancel_jobs(
    console: Served, who: Who, _: FromHere, wanted: Annotated[Ordered, Form()]
) -> RedirectResponse:
    """Begin, and go to where it can be followed."""
    bulk = console.bulks.start(_cancellation(wanted, wanted.reason), who)
    return RedirectResponse(f"/ui/actions/{bulk.id}", 303)


def _cancellation(wanted: Asked, reason: str = "") -> Cancellation:
    said = (f"--{field} {value}" for field, value in wanted.fields.items() if value)
    return Cancellation(filter=wanted.filter(), on=" ".join(said) or "--all", reason=reason)
