"""`/actions`: what people did, and how far what takes long is."""

from __future__ import annotations

import asyncio
from typing import Any, Final

from fastapi import APIRouter

from streams.console import views
from streams.console.api import forms
from streams.console.api.body import Route
from streams.console.api.shared import PAGE, Limit, Served
from streams.console.bulk import Bulk, Order
from streams.console.console import Console
from streams.console.paths import Name
from streams.console.problems import Problem, unavailable
from streams.replay.actions_log import read_actions
from streams.replay.actions_seen import Told
from streams.wire.actions import OperatorAction

router = APIRouter(prefix="/actions", tags=["actions"], route_class=Route)

_ANSWER_S: Final = 15.0
_DONE: Final = {"replay": "replayed", "discard": "discarded", "cancel": "cancelled"}


@router.get("", response_model=None, responses=forms.ok(forms.Actions))
async def list_actions(console: Served, limit: Limit = PAGE) -> dict[str, Any]:
    """What people did, with the command line and here, the latest first."""
    return {"data": [action_json(*each) for each in (await read(console))[:limit]]}


@router.get("/{id}", response_model=None, responses=forms.ok(forms.OneAction, 404))
async def get_action(console: Served, id: Name) -> dict[str, Any]:
    """One action; how far it is, if this console carries it out."""
    bulk = console.bulks.get(id)
    if bulk is not None:
        return {"data": bulk_json(bulk)}
    return {"data": action_json(*await find(console, id))}


@router.post("/{id}/cancel", response_model=None, responses=forms.ok(forms.OneAction, 404, 409))
async def cancel_action(console: Served, id: Name) -> dict[str, Any]:
    """Stop what this console carries out; what it has asked for is done."""
    bulk = console.bulks.get(id)
    if bulk is None:
        raise Problem(404, f"this console carries out no action {id}")
    if bulk.ended is not None:
        raise Problem(409, f"action {id} has ended")
    await console.bulks.cancel(bulk)
    return {"data": bulk_json(bulk)}


async def read(console: Console) -> list[Told]:
    """The latest actions on record, the last one first.

    Raises:
        BrokerUnavailable: Kafka did not answer.
        Problem: it took too long.
    """
    board = console.feed.board
    return board.actions.latest() if board.has_actions else await _read_all(console)


async def find(console: Console, id: str) -> Told:
    """One action; one that is no more among the latest is sought in its topic.

    Raises:
        BrokerUnavailable: Kafka did not answer.
        Problem: there is none, or it took too long.
    """
    found = console.feed.board.actions.get(id)
    if found is None:
        found = next((each for each in await _read_all(console) if each[0].id == id), None)
    if found is None:
        raise Problem(404, f"there is no action {id}")
    return found


async def _read_all(console: Console) -> list[Told]:
    async def ask() -> list[Told]:
        async with asyncio.timeout(_ANSWER_S):
            return await read_actions(console.settings.bootstrap_servers, console.names.actions)

    try:
        return await console.once("actions", ask)
    except TimeoutError:
        raise unavailable("the actions on record could not be read in time") from None


def action_json(action: OperatorAction, ended: int | None) -> dict[str, Any]:
    """One that is on record."""
    state = "running" if ended is None else "failed" if action.failed else "done"
    return {
        "id": action.id,
        "by": action.by,
        "what": action.what,
        "on": action.on,
        "reason": action.reason,
        "began": views.time(action.at),
        "ended": None if ended is None else views.time(ended),
        "state": state,
        "failed": action.failed or None,
        "counts": action.counts,
    }


def bulk_json(bulk: Bulk) -> dict[str, Any]:
    """One that is carried out here."""
    order, result = bulk.order, bulk.result
    state = "running" if bulk.ended is None else "failed" if bulk.failed else "done"
    counts = {
        "matching": bulk.matching,
        _DONE[order.verb]: result.resolved,
        "returned": bulk.returned,
        "silent": result.silent,
        "nowhere": sum(result.nowhere.values()),
    }
    return {
        "id": bulk.id,
        "by": bulk.who,
        "what": order.what,
        "on": order.on,
        "reason": order.reason,
        "began": views.time(bulk.began),
        "ended": None if bulk.ended is None else views.time(bulk.ended),
        "state": state,
        "failed": bulk.failed or None,
        "counts": counts,
        "dryRun": isinstance(order, Order) and order.dry_run,
        "sample": bulk.sample,
    }
