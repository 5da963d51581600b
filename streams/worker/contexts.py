"""What handlers are given beside the payload: all that is known of the attempt."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from functools import partial
from typing import Any

from streams.jobs.context import JobContext, Send, SyncJobContext
from streams.sensitive import secrets_of
from streams.wire import headers as h
from streams.worker.attempt import Attempt
from streams.worker.noted import AttemptSays
from streams.worker.plain_run import drive
from streams.worker.threads import waiting_on


class Contexts:
    """Makes the context of an attempt, by where its handler runs; what it sends goes to `send`."""

    def __init__(self, send: Send | None, *, shadow: bool = False) -> None:
        self._send = send
        self._shadow = shadow
        self._kinds: dict[str, Callable[..., JobContext]] = {
            "loop": JobContext,
            "thread": _thread_context,
            "process": partial(SyncJobContext, wait=drive),
        }

    def of(self, attempt: Attempt, now: int, deadline: int) -> JobContext:
        """The context of an attempt that was submitted and starts now."""
        context = self._kinds[attempt.definition.runs_in](
            id=attempt.job.id,
            name=attempt.job.name,
            attempt=attempt.number,
            max_attempts=attempt.retry.attempts,
            key=attempt.job.ordering_key,
            enqueued_at=attempt.envelope.time,
            due=max(attempt.envelope.time, attempt.envelope.not_before or 0),
            started=now,
            deadline=deadline,
            generation=attempt.generation,
            traceparent=attempt.envelope.traceparent,
            batch=attempt.batch,
            shadow=self._shadow,
            replay=attempt.envelope.extensions.get(h.REPLAY),
            send=self._send,
            says=AttemptSays(
                attempt, attempt.handle.hears, asyncio.get_running_loop(), threading.get_ident()
            ),
        )
        kind, payload = attempt.definition.payload_type, attempt.envelope.payload
        context.find_secrets = partial(secrets_of, kind, payload)
        return context


def _thread_context(**known: Any) -> JobContext:
    return SyncJobContext(wait=waiting_on(asyncio.get_running_loop()), **known)
