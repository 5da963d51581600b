"""`/queues`: what there is of each."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter

from streams.console import views
from streams.console.api.shared import Served
from streams.console.console import Console
from streams.projection.file import now_ms
from streams.projection.numbers import counts, oldest_waiting

router = APIRouter(prefix="/queues", tags=["queues"])


async def all_queues(console: Console) -> list[dict[str, Any]]:
    """Each queue with its numbers."""
    numbers, oldest = await console.ask(lambda db: (counts(db), oldest_waiting(db)))
    paused = console.feed.board.control.paused()
    return [
        views.queue(
            name,
            numbers,
            oldest=oldest,
            running=console.running(name, now_ms()),
            pause=paused.get((name, "")),
        )
        for name in console.settings.queues
    ]


@router.get("")
async def list_queues(console: Served) -> dict[str, Any]:
    """All queues, and how many jobs are in which state."""
    return {"data": await all_queues(console)}
