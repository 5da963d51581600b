"""`POST /events`: CloudEvents from anybody, in binary, structured and batch mode."""

from __future__ import annotations

from typing import Any, Final

from fastapi import APIRouter, Request

from streams.client_request import now_ms
from streams.console import cloudevents
from streams.console.api import forms
from streams.console.api.shared import Served
from streams.console.problems import Problem
from streams.errors import TopicMismatch

router = APIRouter(tags=["events"])

_EVENT: Final[dict[str, Any]] = {
    "type": "object",
    "required": ["specversion", "id", "source", "type"],
    "properties": {
        "specversion": {"type": "string", "const": "1.0"},
        "id": {"type": "string", "minLength": 1, "maxLength": 500},
        "source": {"type": "string", "minLength": 1, "maxLength": 500},
        "type": {"type": "string", "pattern": "^[a-zA-Z0-9._-]{1,200}$"},
        "time": {"type": "string", "format": "date-time"},
        "datacontenttype": {"type": "string"},
        "partitionkey": {"type": "string", "description": "The ordering key."},
        "data": {},
        "data_base64": {"type": "string"},
    },
    "examples": [
        {
            "specversion": "1.0",
            "id": "8f6b",
            "source": "/web",
            "type": "user.signed_up",
            "data": {"user_id": 42, "email": "ada@example.org"},
        }
    ],
}
_BODY: Final[dict[str, Any]] = {
    "requestBody": {
        "required": True,
        "content": {
            cloudevents.STRUCTURED: {"schema": _EVENT},
            cloudevents.BATCH: {
                "schema": {"type": "array", "items": _EVENT, "maxItems": cloudevents.EVENTS_MAX}
            },
        },
    }
}


@router.post(
    "/events",
    status_code=202,
    response_model=None,
    responses={202: {"model": forms.AcceptedEvents}},
    openapi_extra=_BODY,
)
async def publish(console: Served, request: Request) -> dict[str, Any]:
    """Publish events: a structured one, a batch, or in binary mode (`ce-` headers, any body).

    Their types are topics that exist, of which handlers here take events or that
    STREAMS_EVENT_TOPICS names; where a type's contract is known here, data must fit it.
    """
    headers = {
        name.decode("latin-1").lower(): value.decode("utf-8", "replace")
        for name, value in request.headers.raw
    }
    incoming = cloudevents.read_events(headers, await request.body())
    allowed = console.settings.event_topics
    cloudevents.check_types(incoming, console.registry.event_types(), allowed)
    now = now_ms()
    envelopes = [cloudevents.envelope_of(each, console.registry, now) for each in incoming]
    if not envelopes:  # a batch may be empty
        return {"data": []}
    try:
        await console.client.delivery.deliver(
            [(console.names.event(each.name), each) for each in envelopes]
        )
    except TopicMismatch as error:
        raise Problem(422, f"type: {error}", field="type") from None
    return {
        "data": [
            {"id": each.id, "source": each.source, "type": each.name, "status": "accepted"}
            for each in envelopes
        ]
    }
