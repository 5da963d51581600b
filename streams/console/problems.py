"""Problems: every answer that is no success, as RFC 9457 has it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Any, Final

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from streams.errors import BrokerUnavailable, PayloadInvalid, PayloadTooLarge, TopicMismatch
from streams.projection.filter import BadFilter

MEDIA_TYPE: Final = "application/problem+json"
RETRY_AFTER_S: Final = 5
_NO_CALL: Final = "there is no such call: all are in /openapi.json"
_SHOWN: Final = 200  # characters of what a caller sent


class Problem(Exception):
    """An answer that is no success.

    `detail` says what is wrong and what to do; `more` are further members of the document.
    """

    def __init__(
        self,
        status: int,
        detail: str,
        *,
        headers: Mapping[str, str] | None = None,
        **more: Any,
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.headers = dict(headers or {})
        self.more = more


def answer(problem: Problem, scope: Mapping[str, Any] | None = None) -> JSONResponse:
    """The response of a problem; `scope` is of the request, whose id it tells."""
    body = {
        **problem.more,
        "type": "about:blank",
        "title": HTTPStatus(problem.status).phrase,
        "status": problem.status,
        "detail": problem.detail,
    }
    state = {} if scope is None else scope.get("state", {})
    if (id := state.get("request_id")) is not None:
        body["requestId"] = id
    return JSONResponse(body, problem.status, headers=problem.headers, media_type=MEDIA_TYPE)


def wants_page(request: Request) -> bool:
    """Whether a person looks at a page, and not a program at an answer."""
    path = request.url.path
    is_page = path == "/" or path.startswith("/ui/")
    return is_page and "text/html" in request.headers.get("accept", "")


def unavailable(detail: str) -> Problem:
    """Nothing can be said or done now; it is safe to ask again."""
    return Problem(503, detail, headers={"Retry-After": str(RETRY_AFTER_S)})


def of_error(error: Exception) -> Problem:
    """The problem that an error of the engine is to a caller."""
    match error:
        case Problem():
            return error
        case BrokerUnavailable():
            problem = unavailable(str(error))
            if error.job_id is not None:
                problem.more["jobId"] = error.job_id  # with which it is safe to send it again
            return problem
        case TopicMismatch():
            return unavailable(str(error))
        case PayloadInvalid():
            return Problem(422, str(error), field=error.field)
        case PayloadTooLarge():
            return Problem(413, str(error))
        case BadFilter():
            return Problem(422, str(error))
        case _:
            raise error


def install(app: FastAPI, shown: Callable[[Request, Problem], Response]) -> None:
    """Have all errors answered as problems; to people as a page that `shown` makes."""

    def told(request: Request, problem: Problem) -> Response:
        is_person = wants_page(request) and "hx-request" not in request.headers
        return shown(request, problem) if is_person else answer(problem, request.scope)

    async def on_error(request: Request, error: Exception) -> Response:
        return told(request, of_error(error))

    for kind in (
        Problem,
        BrokerUnavailable,
        TopicMismatch,
        PayloadInvalid,
        PayloadTooLarge,
        BadFilter,
    ):
        app.add_exception_handler(kind, on_error)

    async def on_http(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        headers = dict(error.headers or {})
        return told(request, Problem(error.status_code, _of_http(request, error), headers=headers))

    async def on_invalid(request: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)
        mistakes = error.errors()
        return told(request, Problem(422, _told(mistakes), errors=_listed(mistakes)))

    app.add_exception_handler(HTTPException, on_http)
    app.add_exception_handler(RequestValidationError, on_invalid)


def _of_http(request: Request, error: HTTPException) -> str:
    """What the framework refuses with no more than a phrase, in words that say what to do."""
    if error.detail != HTTPStatus(error.status_code).phrase:
        return error.detail
    if error.status_code == HTTPStatus.NOT_FOUND:
        return "there is no such page" if wants_page(request) else _NO_CALL
    if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
        allowed = (error.headers or {}).get("Allow", "another method")
        return f"this can't be done with {request.method[:_SHOWN]}, but with {allowed}"
    return error.detail


def _listed(mistakes: Any) -> list[dict[str, str]]:
    """Where each mistake is and what it is; never what was sent, which may be secret."""
    return [{"at": _place(mistake["loc"]), "message": _in_words(mistake)} for mistake in mistakes]


def _in_words(mistake: Any) -> str:
    match mistake["type"]:
        case "missing":
            return "it is missing"
        case "extra_forbidden":
            return "there is no such field"
        case "string_too_short" if mistake["ctx"]["min_length"] == 1:
            return "it is empty: leave it out"
        case "value_error":  # in words of ours already
            return str(mistake["msg"]).removeprefix("Value error, ")[:_SHOWN]
        case _:
            return str(mistake["msg"])[:_SHOWN]


def _told(mistakes: Any) -> str:
    first, *others = _listed(mistakes) or [{"at": "", "message": "it does not fit"}]
    more = f" (and {len(others)} more)" if others else ""
    return f"{first['at']}: {first['message']}{more}"


def _place(parts: Any) -> str:
    return ".".join(str(part)[:_SHOWN] for part in parts)
