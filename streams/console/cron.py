"""`GET` and `POST /cron/{name}`: another clock's call for a schedule, as a small ASGI app."""

from __future__ import annotations

import logging
import time
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass
from typing import Any, Final, Protocol

import orjson

from streams.console.secret import has_secret
from streams.errors import BrokerUnavailable, TopicMismatch
from streams.schedules.book import Known
from streams.worker.schedules import Planned

logger = logging.getLogger(__name__)

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]
Headers = tuple[tuple[bytes, bytes], ...]

PREFIX: Final = "/cron/"
RETRY_AFTER_S: Final = 5
_METHODS: Final = ("GET", "POST")


class Calls(Protocol):
    """What the app needs: `streams.schedules.caller.Caller`."""

    async def find(self, name: str) -> Known | None:
        """The schedule of this name."""
        ...

    async def enqueue(self, planned: Planned, now: int) -> str:
        """Enqueue the job of its latest tick; the job's id."""
        ...

    async def close(self) -> None:
        """Disconnect."""
        ...


@dataclass(frozen=True, slots=True)
class Answer:
    """What a call is answered."""

    status: int
    body: dict[str, str]
    headers: Headers = ()


def cron_app(calls: Calls, secret: bytes) -> App:
    """The app, on its own or mounted; without a secret it refuses every call.

    It disconnects at the end of its lifespan; whoever mounts it calls `calls.close()`.
    """
    if not secret:
        logger.warning("no CRON_SECRET is set: every call of a schedule is refused with 401")

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await _live(calls, receive, send)
        elif scope["type"] == "http":
            await _send(send, await answer_call(scope, calls, secret))

    return app


async def answer_call(scope: Scope, calls: Calls, secret: bytes) -> Answer:
    """Answer one call. Says first whether the caller may know anything."""
    if not has_secret(_header(scope, b"authorization"), secret):
        why = "send the header Authorization: Bearer with the secret of this service"
        return Answer(401, {"error": why}, ((b"www-authenticate", b"Bearer"),))
    name = _name(scope)
    if name is None:
        return Answer(404, {"error": "call /cron/NAME"})
    if scope["method"] not in _METHODS:
        allowed = ", ".join(_METHODS).encode()
        return Answer(405, {"error": f"use {' or '.join(_METHODS)}"}, ((b"allow", allowed),))
    try:
        return await _call(name, calls)
    except (BrokerUnavailable, TopicMismatch) as error:
        logger.warning("schedule %r was called, and not enqueued: %s", name, error)
        return Answer(
            503,
            {"error": "Kafka did not take the job: call again, which is safe"},
            ((b"retry-after", str(RETRY_AFTER_S).encode()),),
        )


async def _call(name: str, calls: Calls) -> Answer:
    known = await calls.find(name)
    if known is None:
        return Answer(404, {"error": f"there is no schedule {name!r}"})
    if known.planned is None:
        return Answer(404, {"error": _why_unplanned(known)})
    if known.pause is not None:
        why = f": {known.pause.reason}" if known.pause.reason else ""
        return Answer(409, {"error": f"the schedule {name} is paused{why}"})
    job_id = await calls.enqueue(known.planned, time.time_ns() // 1_000_000)
    logger.info("schedule %s was called: job %s", name, job_id)
    return Answer(202, {"jobId": job_id})


def _why_unplanned(known: Known) -> str:
    if known.origin == "retired":
        return f"the schedule {known.name} is retired: no worker has its handler any more"
    # Whoever calls can't mend it; whoever runs this finds it in the log.
    logger.warning(
        "schedule %s was called, and its handler is not here: add its module to STREAMS_HANDLERS",
        known.name,
    )
    return f"the handler of the schedule {known.name} is not known to this service"


def _name(scope: Scope) -> str | None:
    """The schedule that a request names; None if its path is another one."""
    path = str(scope["path"])
    if (root := scope.get("root_path", "")) and path.startswith(root + "/"):
        path = path[len(root) :]
    name = path.removeprefix(PREFIX).removesuffix("/")
    return name if path.startswith(PREFIX) and name and "/" not in name else None


def _header(scope: Scope, name: bytes) -> bytes | None:
    """The only header of this name; None if there is none, or more than one."""
    found = [value for given, value in scope["headers"] if given.lower() == name]
    return bytes(found[0]) if len(found) == 1 else None


async def _send(send: Send, answer: Answer) -> None:
    content = orjson.dumps(answer.body)
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(content)).encode()),
        (b"cache-control", b"no-store"),
        *answer.headers,
    ]
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})
    await send({"type": "http.response.body", "body": content})


async def _live(calls: Calls, receive: Receive, send: Send) -> None:
    while True:
        message = await receive()
        if message["type"] == "lifespan.startup":
            await send({"type": "lifespan.startup.complete"})
        else:
            await calls.close()
            await send({"type": "lifespan.shutdown.complete"})
            return
