"""Payloads as commands show them: without what is sensitive."""

from __future__ import annotations

from typing import TYPE_CHECKING

from streams.cli.output import show_bytes, show_json

if TYPE_CHECKING:
    from pydantic import BaseModel


def contract_of(name: str) -> type[BaseModel] | None:
    """What jobs of this name take; None if their handler is not here."""
    from streams.jobs.discovery import handler_modules, load_handlers
    from streams.settings import Settings

    try:
        known = load_handlers(handler_modules(Settings().handlers))
    except Exception:  # whoever looks need not have the handlers
        return None
    return next((each.payload_type for each in known if each.name == name), None)


def show_payload(name: str, payload: bytes | None, limit: int = 2_000) -> str:
    """A payload on one line; of a name that is not known here, by the names of its fields."""
    import orjson

    from streams.sensitive import masked

    if payload is None:
        return show_bytes(payload)
    try:
        value = orjson.loads(payload)
    except ValueError:
        return show_bytes(payload, limit)
    return show_bytes(show_json(masked(contract_of(name), value)).encode(), limit)
