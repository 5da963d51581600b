"""What a handler may know of its job, and what it may ask for."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from typing import Any

from streams.contracts import Event, JobPayload

Send = Callable[["JobContext", Event | JobPayload, dict[str, Any]], Awaitable[str]]


class JobContext:
    """One attempt, seen from its handler. Times are milliseconds since the epoch."""

    def __init__(
        self,
        *,
        id: str,
        name: str,
        attempt: int,
        max_attempts: int,
        key: str | None,
        enqueued_at: int,
        due: int | None = None,
        started: int,
        deadline: int,
        generation: int = 0,
        traceparent: str | None = None,
        send: Send | None = None,
    ) -> None:
        self.id = id
        self.name = name
        self.attempt = attempt
        self.max_attempts = max_attempts
        self.key = key
        self.enqueued_at = enqueued_at
        self.due = enqueued_at if due is None else due  # when this run could start at the earliest
        self.started = started
        self.deadline = deadline
        self.generation = generation
        self.traceparent = traceparent
        self.log = logging.getLogger(f"streams.handlers.{name}")
        self._send = send
        self._sent: dict[tuple[str, bytes], set[int]] = {}

    @property
    def idempotency_key(self) -> str:
        """The same for every attempt of this job, replays included; hand it to what you call."""
        return f"{self.name}:{self.key or ''}:{self.id}"

    async def enqueue(self, payload: JobPayload, **options: Any) -> str:
        """Enqueue a child job; it is durable on return, and a repeated run finds it again.

        Returns:
            The child's id. Options: `id`, `delay` (a duration).
        """
        return await self._emit(payload, options)

    async def emit(self, event: Event, **options: Any) -> str:
        """Emit an event; it is durable on return. Returns the event's id."""
        return await self._emit(event, options)

    def occurrence(self, name: str, content: bytes) -> int:
        """Which of this run's equal messages the next one is, from 0; keeps them apart."""
        taken = self._sent.setdefault((name, content), set())
        number = next(n for n in range(len(taken) + 1) if n not in taken)
        taken.add(number)
        return number

    def forget_occurrence(self, name: str, content: bytes, number: int) -> None:
        """It is not certain to have been sent: sending it again is to be the same again."""
        self._sent[(name, content)].discard(number)

    async def _emit(self, message: Event | JobPayload, options: dict[str, Any]) -> str:
        if self._send is None:
            raise RuntimeError("this context was made by hand and is connected to no log")
        return await self._send(self, message, options)
