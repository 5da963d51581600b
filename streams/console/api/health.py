"""`/health`, `/live`, `/ready`: for machines that look after machines."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Response

from streams.console.api import forms
from streams.console.api.queues import all_queues
from streams.console.api.shared import Served
from streams.console.problems import MEDIA_TYPE, unavailable
from streams.projection.file import now_ms
from streams.projection.numbers import failures

router = APIRouter(tags=["health"])

_WINDOW_MS = 60 * 60 * 1000


@router.get(
    "/health",
    response_model=None,
    responses={
        200: {"model": forms.Health},
        503: {
            "description": "Some queue is not well, or nothing can be said.",
            "content": {
                "application/json": {"schema": {"$ref": "#/components/schemas/Health"}},
                MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}},
            },
        },
    },
)
async def health(console: Served, response: Response) -> dict[str, Any]:
    """All queues, and whether they are well: 503 if too many jobs wait, or have failed lately."""
    queues = await all_queues(console)
    failed = await console.ask(lambda db: failures(db, now_ms() - _WINDOW_MS))
    settings = console.settings
    for queue in queues:
        queue["failedLately"] = failed.get(queue["name"], 0)
    healthy = all(
        queue["waiting"] <= settings.health_waiting
        and queue["failedLately"] <= settings.health_failed
        for queue in queues
    )
    if not healthy:
        response.status_code = 503
    return {
        "data": queues,
        "healthy": healthy,
        "projection": {
            "connected": console.feed.is_connected,
            "lag": console.feed.lag,
            "built": console.feed.is_built,
        },
    }


@router.get("/live")
async def live() -> dict[str, bool]:
    """The process answers."""
    return {"live": True}


@router.get("/ready")
async def ready(console: Served) -> dict[str, bool]:
    """The projection is there, and Kafka is."""
    if not console.feed.is_connected:
        raise unavailable("Kafka does not answer")
    return {"ready": True}
