"""Actions: what people did, and how far what is carried out is."""

from __future__ import annotations

from typing import Final

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse, RedirectResponse

from streams.console.api.actions import action_json, bulk_json, find, read
from streams.console.api.shared import Served, Who
from streams.console.pages.forms import FromHere
from streams.console.pages.render import page
from streams.console.paths import Name
from streams.console.problems import Problem

router = APIRouter(include_in_schema=False)

_SHOWN: Final = 100


@router.get("/ui/actions", response_class=HTMLResponse)
async def actions(request: Request, console: Served, part: bool = False) -> HTMLResponse:
    """What people did, the latest first; or (`part`) what changes of the page."""
    found = [action_json(*each) for each in (await read(console))[:_SHOWN]]
    return page(request, "actions_part.html" if part else "actions.html", actions=found)


@router.get("/ui/actions/{id}", response_class=HTMLResponse)
async def action(request: Request, console: Served, id: Name, part: bool = False) -> HTMLResponse:
    """One of them: how far it is, if this console carries it out."""
    bulk = console.bulks.get(id)
    told = bulk_json(bulk) if bulk is not None else action_json(*await find(console, id))
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
