"""What every answer that is no success looks like, and how routes say which they give."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any, Final

from pydantic import BaseModel, ConfigDict

from streams.console.problems import MEDIA_TYPE

_ID: Final = "0193f5a2-7c1e-7a30-9f52-3f1d2b8c4e77"
_TIME: Final = "2026-11-30T18:00:00.000Z"
LOCATION: Final[dict[str, Any]] = {
    "Location": {"schema": {"type": "string"}, "description": "Where the job is to be read."}
}


class Problem(BaseModel):
    """An answer that is no success (RFC 9457): `detail` says what is wrong and what to do."""

    model_config = ConfigDict(
        extra="allow",
        json_schema_extra={
            "examples": [
                {
                    "type": "about:blank",
                    "title": "Not Found",
                    "status": 404,
                    "detail": f"there is no job {_ID}",
                    "requestId": "7f3c1f0e",
                }
            ]
        },
    )

    type: str
    title: str
    status: int
    detail: str


def errors(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The problems that a route may answer, beside those that each one may."""
    return {
        status: {
            "description": HTTPStatus(status).phrase,
            "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
        }
        for status in statuses
    }
