"""Each call: its id, a line in the log, numbers for Prometheus, and an answer whatever happens."""

from __future__ import annotations

import logging
import os
import re
import time
from typing import Any, Final

import structlog
from prometheus_client import CollectorRegistry, Counter, Histogram

from streams.console.paths import App, Message, Receive, Scope, Send
from streams.console.problems import Problem, answer

logger = logging.getLogger(__name__)
_log = structlog.stdlib.get_logger(__name__)

ID_HEADER: Final = b"x-request-id"
_ID: Final = re.compile(rb"[A-Za-z0-9._-]{1,64}")
_SELDOM_OF_INTEREST: Final = ("/live", "/ready", "/metrics", "/static/", "/ui/")
_BUCKETS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)


class CallMetrics:
    """How many calls were answered how, and how long that took."""

    def __init__(self, registry: CollectorRegistry) -> None:
        labels = ("method", "route")
        self.requests = Counter(
            "streams_console_requests_total",
            "Calls of the console.",
            (*labels, "status"),
            registry=registry,
        )
        self.seconds = Histogram(
            "streams_console_request_seconds",
            "How long until an answer began.",
            labels,
            buckets=_BUCKETS,
            registry=registry,
        )


class Calls:
    """Around everything else."""

    def __init__(self, app: App, metrics: CallMetrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        id = _id_of(scope)
        scope.setdefault("state", {})["request_id"] = id
        began = time.monotonic()
        status = 0
        took = 0.0

        async def told(message: Message) -> None:
            nonlocal status, took
            if message["type"] == "http.response.start":
                status, took = message["status"], time.monotonic() - began
                headers = [*message.get("headers", ()), (ID_HEADER, id.encode())]
                message = {**message, "headers": headers}
            await send(message)

        with structlog.contextvars.bound_contextvars(request_id=id):
            try:
                await self._app(scope, receive, told)
            except Exception:
                if status:  # too late for another answer
                    raise
                logger.exception("a call failed")
                problem = Problem(500, "something went wrong here; it is in the log of the console")
                await answer(problem, scope)(scope, receive, told)
            finally:
                self._note(scope, status, took or time.monotonic() - began)

    def _note(self, scope: Scope, status: int, took: float) -> None:
        method = scope["method"] if scope["method"] in _METHODS else "other"
        route = getattr(scope.get("route"), "path", "other")
        self._metrics.requests.labels(method, route, str(status)).inc()
        self._metrics.seconds.labels(method, route).observe(took)
        path: str = scope["path"]
        is_dull = status < 400 and path.startswith(_SELDOM_OF_INTEREST)
        told: dict[str, Any] = {
            "method": method,
            "path": path[:500],  # without its query, which may have anything in it
            "status": status,
            "ms": round(took * 1000, 1),
        }
        if who := scope.get("state", {}).get("who"):
            told["who"] = who
        (_log.debug if is_dull else _log.info)("request", **told)


_METHODS: Final = frozenset(("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"))


def _id_of(scope: Scope) -> str:
    """What the caller calls it, if that may be in a log; else a new one."""
    for name, value in scope["headers"]:
        if name == ID_HEADER and _ID.fullmatch(value):
            return str(value.decode())
    return os.urandom(8).hex()
