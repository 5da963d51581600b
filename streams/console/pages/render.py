"""Pages from templates: everything that came from outside is escaped."""

from __future__ import annotations

import hashlib
from functools import cache
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote, urlencode

from fastapi import Request
from fastapi.responses import HTMLResponse
from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape
from markupsafe import Markup, escape

from streams.console import words
from streams.console.access.gate import csrf_token, may, who_signed_in
from streams.console.access.tokens import ACT
from streams.console.console import Console
from streams.console.problems import Problem
from streams.projection.file import now_ms
from streams.projection.hashes import bare
from streams.version import VERSION

STATIC: Final = Path(__file__).parent.parent / "static"
_TEMPLATES: Final = Path(__file__).parent.parent / "templates"

PAGES: Final = (
    ("o", "/", "Overview"),
    ("j", "/ui/jobs", "Jobs"),
    ("d", "/ui/dead-letters", "Dead letters"),
    ("s", "/ui/schedules", "Schedules"),
    ("q", "/ui/queues", "Queues"),
    ("w", "/ui/workers", "Workers"),
    ("a", "/ui/actions", "Actions"),
)
"""A key, a path, a name."""

TOLD: Final = {
    "cancel": "Its worker is asked to end it.",
    "run": "Its worker is asked to start it now.",
    "replay": "Its worker is asked to run it again.",
    "edit": "Its worker is asked to run it again, with the payload as you changed it.",
    "discard": "Its worker is asked to end it for good.",
    "pause": "Paused: within a second nothing more starts.",
    "resume": "Resumed: within a second it goes on.",
    "purge": "What waits is cancelled as soon as its workers come to it.",
    "trigger": "The job of this schedule is enqueued.",
}
"""What is said after an action."""


@cache
def static(name: str) -> str:
    """The address of a file, another one when its content is."""
    digest = hashlib.sha256((STATIC / name).read_bytes()).hexdigest()[:10]
    return f"/static/{name}?v={digest}"


def link(path: str, **query: Any) -> str:
    """An address with those parts of its query that say something."""
    told = {name: value for name, value in query.items() if value not in (None, "", False)}
    return f"{path}?{urlencode(told)}" if told else path


def job_link(queue: str, name: str, id: str, key: str | None = None) -> str:
    """The page of one job."""
    path = f"/ui/jobs/{quote(queue, safe='')}/{quote(name, safe='')}/{quote(id, safe='')}"
    return link(path, key=key)


def _time(ms: int, now: int) -> Markup:
    told = f'<time datetime="{words.iso(ms)}" title="{words.clock(ms)}">'
    return Markup(told) + escape(words.ago(ms, now)) + Markup("</time>")


def _csrf(token: str) -> Markup:
    """What each form that changes something has in it."""
    return Markup('<input type="hidden" name="csrf" value="{}">').format(token)


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=select_autoescape(default=True, default_for_string=True),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        span=words.span,
        clock=words.clock,
        number=words.number,
        rate=words.rate,
        size=words.size,
        short=words.short,
        word=words.state_word,
        bare=bare,
        path=lambda text: quote(text, safe=""),
    )
    environment.globals.update(static=static, link=link, job_link=job_link, several=words.several)
    return environment


def standing(console: Console) -> dict[str, Any]:
    """How far the projection is."""
    feed = console.feed
    so: dict[str, Any] = {
        "connected": feed.is_connected,
        "built": feed.is_built,
        "lag": feed.lag,
        "share": feed.share,
    }
    word, exactly = words.following(**so)
    return {**so, "is_far": feed.lag > words.FAR_BEHIND, "word": word, "exactly": exactly}


def page(request: Request, template: str, *, status: int = 200, **values: Any) -> HTMLResponse:
    """A page, or a part of one."""
    console: Console = request.app.state.console
    now = now_ms()
    # What a page is for may be a part of another's address: the longest one that fits is meant.
    here = max(
        (path for _, path, _ in PAGES if request.url.path.startswith(path)), key=len, default=""
    )
    if here == "/" and request.url.path != "/":
        here = ""
    text = (
        _environment()
        .get_template(template)
        .render(
            {
                "pages": PAGES,
                "here": here,
                "version": f"jobstreams {VERSION}",
                "zone": "UTC",
                "standing": standing(console),
                "now": now,
                "when": lambda ms: _time(ms, now),
                "who": who_signed_in(request),
                "may_act": may(request, ACT),
                "csrf": lambda: _csrf(csrf_token(request)),
                "sought": "",
                "told": TOLD.get(request.query_params.get("told", "")),
                **values,
            }
        )
    )
    return HTMLResponse(text, status)


def problem_page(request: Request, problem: Problem) -> HTMLResponse:
    """What went wrong, and what to do, for people."""
    title = HTTPStatus(problem.status).phrase
    shown = page(request, "problem.html", status=problem.status, title=title, detail=problem.detail)
    shown.headers.update(problem.headers)
    return shown
