"""What a handler declares: its trigger, where it runs, and its policies."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from streams.contracts import Event, JobPayload
from streams.jobs.retry import Retry

TIMEOUT_MS = 5 * 60 * 1000
UNIQUE_FOR_MS = 24 * 60 * 60 * 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class JobDefinition:
    """One named job; durations in milliseconds."""

    name: str
    queue: str
    handler: Callable[..., Any]
    payload_type: type[Event] | type[JobPayload]
    trigger: Literal["event", "payload"]
    runs_in: Literal["loop", "thread"]
    ctx_parameter: str | None
    plain: bool  # the handler takes the payload's fields, not the payload
    retry: Retry
    timeout_ms: int
    expires_ms: int | None
    unique_for_ms: int
    ordering: Literal["strict", "none"]
    file: str
    line: int
    mistakes: tuple[str, ...] = ()  # seen at the decorator, told at start-up

    @property
    def event_type(self) -> str | None:
        """The type of event that it subscribes to."""
        kind = self.payload_type
        return kind.__event_type__ if issubclass(kind, Event) else None

    @property
    def key_scope(self) -> str:
        """Whose order its keys share: the job's own name, unless the contract says otherwise."""
        return self.payload_type.__key_scope__ or self.name

    @property
    def place(self) -> str:
        """File and line, for messages."""
        return f"{self.file}:{self.line}"

    def ordering_key(self, payload: Event | JobPayload) -> str | None:
        """The ordering key without its scope."""
        return payload.ordering_key()

    def call(self, payload: Event | JobPayload, context: Any) -> Any:
        """Call the handler as it wants to be called; a coroutine if it is asynchronous."""
        extra = {} if self.ctx_parameter is None else {self.ctx_parameter: context}
        if self.plain:
            fields = {name: getattr(payload, name) for name in type(payload).model_fields}
            return self.handler(**fields, **extra)
        return self.handler(payload, **extra)
