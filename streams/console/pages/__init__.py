"""The dashboard: pages for people."""

from __future__ import annotations

from fastapi import APIRouter

from streams.console.pages import (
    acts,
    bulk_acts,
    dead,
    job,
    job_acts,
    jobs,
    overview,
    queues,
    schedules,
    workers,
)


def dashboard() -> APIRouter:
    """All pages."""
    router = APIRouter(include_in_schema=False)
    for part in (overview, jobs, job, job_acts, acts, bulk_acts, dead, schedules, queues, workers):
        router.include_router(part.router)
    return router
