"""Many dead letters at once: how many it would be, then the order, then how far it is."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Annotated, Final

from fastapi import APIRouter, Form, Request
from fastapi.responses import HTMLResponse, RedirectResponse

from streams.console.api.actions import action_json, bulk_json, read
from streams.console.api.shared import Served, Who
from streams.console.bulk import Bulk, Order
from streams.console.cancelling import Cancellation
from streams.console.console import Console
from streams.console.pages.forms import FromHere
from streams.console.pages.jobs import Asked
from streams.console.pages.render import page
from streams.console.paths import Name
from streams.console.problems import Problem
from streams.projection.file import now_ms
from streams.replay.letter_filter import LetterFilter
from streams.replay.letters import Letter
from streams.wire.times import LATEST

router = APIRouter(include_in_schema=False)

Text = Annotated[str, Form(max_length=500)]

_PREVIEW_S: Final = 10.0
_VERBS: Final = ("replay", "discard")
_SHOWN: Final = 100


@router.post("/ui/dead-letters/preview", response_class=HTMLResponse)
async def preview(
    request: Request,
    console: Served,
    who: Who,
    _: FromHere,
    verb: Text,
    queue: Text = "",
    name: Text = "",
    key: Text = "",
    error: Text = "",
    q: Text = "",
) -> HTMLResponse:
    """A question with how many letters it is about, and some of them."""
    if verb not in _VERBS:
        raise Problem(404, f"nothing can be done that is called {verb!r}")
    until = now_ms()
    order = _order(verb, Asked("", queue, name, key, error, q), until, dry_run=True)
    bulk = await _previewed(console, order, who)
    return page(
        request,
        "bulk_dialog.html",
        verb=verb,
        count=bulk.matching,
        is_whole=not bulk.failed,
        sample=bulk.sample,
        until=until,
        fields={"queue": queue, "name": name, "key": key, "error": error, "q": q},
    )


@router.post("/ui/dead-letters/{verb}")
async def act(
    console: Served,
    who: Who,
    _: FromHere,
    verb: str,
    queue: Text = "",
    name: Text = "",
    key: Text = "",
    error: Text = "",
    q: Text = "",
    until: Annotated[int | None, Form(ge=0, le=LATEST)] = None,
    reason: Annotated[str, Form(max_length=1_000)] = "",
    rate: Annotated[str, Form(max_length=20)] = "",
) -> RedirectResponse:
    """Begin, and go to where it can be followed."""
    if verb not in _VERBS:
        raise Problem(404, f"nothing can be done that is called {verb!r}")
    if rate and not (rate.isascii() and rate.isdigit() and 0 < int(rate) <= 1_000_000):
        raise Problem(422, "rate: write a number of letters a second")
    order = replace(
        _order(verb, Asked("", queue, name, key, error, q), until),
        reason=reason,
        rate=float(rate) if rate else None,
    )
    bulk = console.bulks.start(order, who)
    return RedirectResponse(f"/ui/actions/{bulk.id}", 303)


def _order(verb: str, wanted: Asked, until: int | None, *, dry_run: bool = False) -> Order:
    """What the page lists, and no more: as it was when somebody looked at how many it is."""
    text = wanted.q.casefold()

    def only(letter: Letter) -> bool:
        if letter.job is None or (wanted.error and letter.error != wanted.error):
            return False
        said = (letter.id, letter.job.ordering_key or "", letter.message)
        return not text or any(text in each.casefold() for each in said)

    made = LetterFilter(
        queue=wanted.queue or None,
        job=wanted.name or None,
        key=wanted.key or None,
        until=until,
    )
    also = {"--error": wanted.error, "--text": wanted.q}
    told = " ".join(f"{option} {value}" for option, value in also.items() if value)
    return Order(verb=verb, filter=made, only=only, told=told, dry_run=dry_run)


@router.post("/ui/jobs/cancel/preview", response_class=HTMLResponse)
async def preview_cancellation(
    request: Request,
    console: Served,
    who: Who,
    _: FromHere,
    state: Text = "",
    queue: Text = "",
    name: Text = "",
    key: Text = "",
    error: Text = "",
    q: Text = "",
) -> HTMLResponse:
    """A question with how many jobs it is about, and some of them."""
    wanted = Asked(state, queue, name, key, error, q)
    order = Cancellation(filter=wanted.filter(), on=_told(wanted), dry_run=True)
    bulk = await _previewed(console, order, who)
    return page(
        request,
        "cancel_dialog.html",
        count=bulk.matching,
        is_whole=not bulk.failed,
        sample=bulk.jobs,
        fields=_fields(wanted),
    )


@router.post("/ui/jobs/cancel")
async def cancel_jobs(
    console: Served,
    who: Who,
    _: FromHere,
    state: Text = "",
    queue: Text = "",
    name: Text = "",
    key: Text = "",
    error: Text = "",
    q: Text = "",
    reason: Annotated[str, Form(max_length=1_000)] = "",
) -> RedirectResponse:
    """Begin, and go to where it can be followed."""
    wanted = Asked(state, queue, name, key, error, q)
    order = Cancellation(filter=wanted.filter(), on=_told(wanted), reason=reason)
    return RedirectResponse(f"/ui/actions/{console.bulks.start(order, who).id}", 303)


def _fields(wanted: Asked) -> dict[str, str]:
    names = ("state", "queue", "name", "key", "error", "q")
    return {field: getattr(wanted, field) for field in names}


def _told(wanted: Asked) -> str:
    said = [f"--{field} {value}" for field, value in _fields(wanted).items() if value]
    return " ".join(said) or "--all"


async def _previewed(console: Console, order: Order | Cancellation, who: str) -> Bulk:
    """What an order would mean, as far as it can be said soon; `failed`: there are more."""
    bulk = console.bulks.start(order, who)
    assert bulk.task is not None
    await asyncio.wait((bulk.task,), timeout=_PREVIEW_S)
    if bulk.ended is None:
        await console.bulks.cancel(bulk)
    elif bulk.failed:
        raise Problem(503, bulk.failed)
    return bulk


@router.get("/ui/actions", response_class=HTMLResponse)
async def actions(request: Request, console: Served) -> HTMLResponse:
    """What people did, the latest first."""
    found = [action_json(*each) for each in (await read(console))[:_SHOWN]]
    return page(request, "actions.html", actions=found)


@router.get("/ui/actions/{id}", response_class=HTMLResponse)
async def action(request: Request, console: Served, id: Name, part: bool = False) -> HTMLResponse:
    """One of them: how far it is, if this console carries it out."""
    bulk = console.bulks.get(id)
    if bulk is not None:
        told = bulk_json(bulk)
    else:
        found = [action_json(*each) for each in await read(console) if each[0].id == id]
        if not found:
            raise Problem(404, f"there is no action {id}")
        told = found[0]
    template = "action_part.html" if part else "action.html"
    return page(request, template, action=told, is_here=bulk is not None)


@router.post("/ui/actions/{id}/cancel")
async def cancel(console: Served, who: Who, _: FromHere, id: Name) -> RedirectResponse:
    """Stop one that is carried out here; what it has asked for is done."""
    bulk = console.bulks.get(id)
    if bulk is None:
        raise Problem(404, f"this console carries out no action {id}")
    if bulk.ended is None:
        await console.bulks.cancel(bulk)
    return RedirectResponse(f"/ui/actions/{bulk.id}", 303)
