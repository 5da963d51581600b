"""The dashboard: pages for people."""

from __future__ import annotations

from fastapi import APIRouter

from streams.console.pages import dead, jobs, overview, queues, schedules, workers


def dashboard() -> APIRouter:
    """All pages."""
    router = APIRouter(include_in_schema=False)
    for part in (overview, jobs, dead, schedules, queues, workers):
        router.include_router(part.router)
    return router
