"""`/workers`: who is at work, and what each of them runs."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter

from streams.console import views
from streams.console.api import forms
from streams.console.api.shared import Served
from streams.projection.file import now_ms
from streams.replay.workers import WorkerSeen

router = APIRouter(prefix="/workers", tags=["workers"])


@router.get("", response_model=None, responses=forms.ok(forms.Workers))
async def list_workers(console: Served) -> dict[str, Any]:
    """Who was heard of within the last ten seconds."""
    return {"data": [worker_json(each) for each in console.feed.board.workers(now_ms())]}


def worker_json(seen: WorkerSeen) -> dict[str, Any]:
    """One worker."""
    return {
        "worker": seen.worker,
        "group": seen.group,
        "version": seen.version,
        "started": views.time(seen.started),
        "seen": views.time(seen.seen),
        "partitions": {queue: list(held) for queue, held in seen.partitions.items()},
        "inHand": seen.in_hand,
        "running": [
            {
                "id": each.id,
                "name": each.name,
                "queue": each.queue,
                "key": each.key,
                "attempt": each.attempt,
                "since": views.time(each.since),
            }
            for each in seen.running
        ],
    }
