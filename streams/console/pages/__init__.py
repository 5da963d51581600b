"""The dashboard: pages for people."""

from __future__ import annotations

from fastapi import APIRouter

from streams.console.pages import (
    actions,
    acts,
    bulk_acts,
    dead,
    job,
    job_acts,
    job_sure,
    jobs,
    overview,
    queues,
    schedules,
    workers,
)


def dashboard() -> APIRouter:
    """All pages."""
    router = APIRouter(include_in_schema=False)
    of_jobs = (jobs, job, job_acts, job_sure, bulk_acts, dead)
    for part in (overview, *of_jobs, schedules, queues, workers, acts, actions):
        router.include_router(part.router)
    return router
