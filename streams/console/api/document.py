"""The OpenAPI document: what each route may answer beside what it says, and who may ask."""

from __future__ import annotations

from typing import Any, Final

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from streams.console.access.scopes import is_open, needed
from streams.console.api import forms

_METHODS: Final = ("get", "post")
_SECURITY: Final[dict[str, Any]] = {
    "token": {
        "type": "http",
        "scheme": "bearer",
        "description": "A token that `streams console token` made; not needed on loopback, as "
        "long as none is set.",
    },
    "session": {
        "type": "apiKey",
        "in": "cookie",
        "name": "streams_session",
        "description": "Of people who signed in; what they change needs X-CSRF-Token as well.",
    },
    "cron": {"type": "http", "scheme": "bearer", "description": "CRON_SECRET."},
}


def install(app: FastAPI) -> None:
    """Have the app tell this document."""
    made: list[dict[str, Any]] = []

    def document() -> dict[str, Any]:
        if not made:
            made.append(_made(app))
        return made[0]

    app.openapi = document  # type: ignore[method-assign]


def _made(app: FastAPI) -> dict[str, Any]:
    told = get_openapi(
        title=app.title, version=app.version, description=app.description, routes=app.routes
    )
    components = told.setdefault("components", {})
    schemas = components.setdefault("schemas", {})
    schemas["Problem"] = forms.Problem.model_json_schema()
    for unused in ("HTTPValidationError", "ValidationError"):
        schemas.pop(unused, None)
    components["securitySchemes"] = _SECURITY
    for path, operations in told["paths"].items():
        for method in _METHODS:
            if method in operations:
                _complete(path, method.upper(), operations[method])
    return told


def _complete(path: str, method: str, operation: dict[str, Any]) -> None:
    """What is the same for all."""
    responses = operation.setdefault("responses", {})
    statuses = [422, 503]
    if "requestBody" in operation:
        statuses += [400, 408, 413, 415]
    responses.pop("422", None)
    if not is_open(path.replace("{", "").replace("}", "")):
        statuses += [401, 403, 429]
        scope = needed(method, path)
        operation["security"] = [{"token": []}, {"session": []}, {}]
        told = operation.get("description", "")
        operation["description"] = f"{told}\n\nNeeds the scope `{scope}`.".strip()
    for status, response in forms.errors(*statuses).items():
        responses.setdefault(str(status), response)
