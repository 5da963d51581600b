"""One job: why it waits, every attempt, what it was given and gave, and what can be done."""

from __future__ import annotations

import json
import shlex
from typing import Annotated, Any, Final

from fastapi import APIRouter, Path, Query, Request
from fastapi.responses import HTMLResponse

from streams.console.api.shared import Served
from streams.console.console import Console
from streams.console.pages.render import job_link, page
from streams.console.paths import job_path, name_in
from streams.console.problems import Problem
from streams.console.story import Told, contract_of, shown, tell, tell_without_records
from streams.console.which import Which, how_to_choose, told_apart
from streams.console.why import answer_for
from streams.errors import BrokerUnavailable
from streams.projection.job import Job
from streams.projection.states import FIRST_OVER, NAMES
from streams.wire.times import parse_time

_AWAY: Final = (
    "Kafka does not answer: this is what was last read; payload, attempts, log and result come "
    "when it does"
)

router = APIRouter(include_in_schema=False)

Part = Annotated[str, Path(max_length=2_000)]


@router.get("/ui/jobs/{queue}/{name}/{id}", response_class=HTMLResponse)
async def job(
    request: Request,
    console: Served,
    queue: Part,
    name: Part,
    id: Part,
    key: Annotated[str | None, Query(max_length=2_000)] = None,
    part: bool = False,
) -> HTMLResponse:
    """The page, or (`part`) what changes of it."""
    id, name, queue = name_in(id), name_in(name), name_in(queue)
    found = await find(console, queue, name, id, key)
    if found is None:
        template = "job_missing_part.html" if part else "job_missing.html"
        return page(request, template, status=404, id=id, name=name, queue=queue)
    values = await _told(request, console, found)
    return page(request, "job_part.html" if part else "job.html", **values)


async def find(console: Console, queue: str, name: str, id: str, key: str | None) -> Job | None:
    """The one job that an address names; None if it is not there.

    Raises:
        Problem: there are several, each of another key.
    """
    jobs = await console.find(Which(id=id, name=name, queue=queue, key=key or None))
    if len(jobs) > 1:  # of several keys; the one without a key has none in its address
        keyless = [job for job in jobs if job.row.key is None]
        if not keyless:
            raise Problem(409, f"{len(jobs)} jobs are called so: {how_to_choose(jobs)}")
        return keyless[0]
    return jobs[0] if jobs else None


async def _told(request: Request, console: Console, found: Job) -> dict[str, Any]:
    try:
        if not console.feed.is_connected:  # each record would be waited for
            raise BrokerUnavailable("Kafka does not answer")
        told = await tell(console, found)
        why = await _why(console, told, found.queue)
    except BrokerUnavailable:
        told = await tell_without_records(console, found)
        why = {"text": _AWAY, "remedy": "", "blocker_link": None}
    row, queue, name = told.row, told.job.queue, told.job.name
    contract = contract_of(console, name)
    job = shown(told, contract)
    for attempt in job["history"]:
        attempt["took"] = parse_time(attempt["ended"]) - parse_time(attempt["started"])
    state = NAMES[row.state]
    return {
        "job": job,
        "row": row,
        "queue": queue,
        "name": name,
        "state": state,
        "is_over": row.state >= FIRST_OVER,
        "is_dead": state == "dead",
        "may_cancel": row.state < FIRST_OVER and state != "dead",
        "may_be_timed": state in ("scheduled", "retrying", "sleeping", "parked", "queued"),
        "asked": told.job.asked,
        "why": why,
        "payload": _pretty(job.get("payload")),
        "result": _pretty(job.get("result")) if "result" in job else None,
        "result_command": f"streams jobs result {_quoted(row.id)} --name {_quoted(name)}",
        "commands": _commands(row.id, name, queue, is_dead=state == "dead"),
        "api": job_path(row.id, **told_apart(told.job, await console.find(Which(id=row.id)))),
        "origin": str(request.base_url).rstrip("/"),
        "address": job_link(queue, name, row.id, row.key),
    }


async def _why(console: Console, told: Told, queue: str) -> dict[str, Any]:
    answer, _ = await answer_for(console, told)
    blocker = answer.blocker
    link = None
    if blocker is not None:
        link = job_link(queue, blocker.job.name, blocker.job.id, told.row.key)
    return {"text": answer.text, "remedy": answer.remedy, "blocker_link": link}


def _pretty(value: Any) -> str | None:
    if value is None:
        return None
    return json.dumps(value, indent=2, ensure_ascii=False)


def _commands(id: str, name: str, queue: str, *, is_dead: bool) -> list[tuple[str, str]]:
    """What does the same from a shell: what it is for, and the command."""
    which = f"{_quoted(id)} --name {_quoted(name)} --queue {_quoted(queue)}"
    found = [
        ("show it", f"streams jobs show {which}"),
        ("why it waits", f"streams jobs why {which}"),
    ]
    if is_dead:
        letter = f"{_quoted(id)} --job {_quoted(name)} --queue {_quoted(queue)}"
        found.append(("replay it", f"streams dlq replay {letter}"))
    return found


def _quoted(text: str) -> str:
    """As a shell takes it whole."""
    return shlex.quote(text)
