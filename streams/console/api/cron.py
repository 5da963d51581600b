"""`/cron/{name}`: calls of a clock that is elsewhere, which has a secret of its own."""

from __future__ import annotations

from typing import Any
from urllib.parse import unquote

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse

from streams.console.api import forms
from streams.console.api.shared import Served
from streams.console.console import Console
from streams.console.cron import answer_call
from streams.console.paths import Name
from streams.console.problems import Problem

router = APIRouter(prefix="/cron", tags=["schedules"])

_DOCUMENTED: dict[str, Any] = {
    "status_code": 202,
    "response_model": None,
    "responses": {202: {"model": forms.Called}, **forms.errors(401, 404, 409)},
    "openapi_extra": {"security": [{"cron": []}]},
}


@router.get("/{name}", **_DOCUMENTED)
async def call_by_get(console: Served, request: Request, name: Name) -> Response:
    """Enqueue the job of a schedule's latest tick; again before the next one is the same job."""
    return await _called(console, request)


@router.post("/{name}", **_DOCUMENTED)
async def call_by_post(console: Served, request: Request, name: Name) -> Response:
    """Enqueue the job of a schedule's latest tick; again before the next one is the same job."""
    return await _called(console, request)


async def _called(console: Console, request: Request) -> Response:
    path = unquote(request.scope.get("raw_path", b"").decode("latin-1"))
    scope = {**request.scope, "path": path, "root_path": ""}
    answer = await answer_call(scope, console.caller, console.cron_secret)
    headers = {name.decode(): value.decode() for name, value in answer.headers}
    if answer.status >= 400:
        raise Problem(answer.status, answer.body["error"], headers=headers)
    return JSONResponse(answer.body, answer.status, headers=headers)
