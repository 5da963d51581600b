"""`POST /jobs` and `/jobs/batch`: enqueueing over HTTP. 202 means that the broker has them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

from fastapi import APIRouter, Header, Request, Response

from streams.client_request import now_ms
from streams.console import enqueueing
from streams.console.api import forms
from streams.console.api.asked import NewJob, NewJobs, read_idempotency_key
from streams.console.api.body import Route
from streams.console.api.shared import Served
from streams.console.console import Console
from streams.console.enqueueing import Asked, BatchInvalid
from streams.console.paths import job_path
from streams.console.problems import Problem, of_error
from streams.errors import BrokerUnavailable, StreamsError
from streams.wire.envelope import Envelope

router = APIRouter(prefix="/jobs", tags=["jobs"], route_class=Route)


@router.post(
    "",
    status_code=202,
    response_model=None,
    responses={202: {"model": forms.Accepted, "headers": forms.LOCATION}},
)
async def enqueue_job(
    console: Served,
    request: Request,
    response: Response,
    job: NewJob,
    idempotency_key: Annotated[
        str | None,
        Header(description="The job's id: sending the same one again enqueues it once."),
    ] = None,
) -> dict[str, Any]:
    """Enqueue one job.

    The name's contract, where the console knows it, says the queue and the key, and checks the
    payload. Of other names say the `queue`.
    """
    asked = job.asked(read_idempotency_key(idempotency_key))
    (envelope,) = await _enqueue(console, [asked], request.headers.get("traceparent"))
    response.headers["Location"] = job_path(envelope.id)
    return _accepted(envelope)


@router.post(
    "/batch", status_code=202, response_model=None, responses={202: {"model": forms.AcceptedJobs}}
)
async def enqueue_jobs(console: Served, request: Request, jobs: NewJobs) -> dict[str, Any]:
    """Enqueue many jobs: all of them, or none if one does not fit."""
    errors: dict[int, StreamsError] = {}
    asked = []
    for place, job in enumerate(jobs.jobs):
        try:
            asked.append(job.asked())
        except StreamsError as error:
            errors[place] = error
    if errors:
        raise _refusal(BatchInvalid(errors))
    try:
        envelopes = await _enqueue(console, asked, request.headers.get("traceparent"))
    except BatchInvalid as error:
        raise _refusal(error) from None
    return {
        "data": [{**_accepted(each), "location": job_path(each.id)} for each in envelopes],
    }


async def _enqueue(
    console: Console, asked: Sequence[Asked], traceparent: str | None
) -> list[Envelope]:
    queues, now = console.settings.queues, now_ms()
    if len(asked) == 1:
        envelopes = [enqueueing.made(asked[0], console.registry, queues, now, traceparent)]
    else:
        envelopes = enqueueing.all_made(asked, console.registry, queues, now, traceparent)
    try:
        await enqueueing.enqueue(console.client.delivery, console.names, envelopes)
    except BrokerUnavailable as error:
        problem = of_error(error)
        # With these ids it is safe to send all of it again.
        problem.more["jobIds"] = [each.id for each in envelopes]
        raise problem from None
    return envelopes


def _accepted(envelope: Envelope) -> dict[str, Any]:
    status = "queued" if envelope.not_before is None else "scheduled"
    return {"jobId": envelope.id, "status": status}


def _refusal(error: BatchInvalid) -> Problem:
    told = [
        {"index": place, "at": f"jobs.{place}.{_field(each)}".rstrip("."), "message": str(each)}
        for place, each in sorted(error.errors.items())
    ]
    return Problem(422, str(error), errors=told)


def _field(error: Exception) -> str:
    return str(getattr(error, "field", ""))
