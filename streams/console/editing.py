"""A dead job's payload, changed by hand: checked before anything is sent."""

from __future__ import annotations

from typing import Any

import orjson

from streams.client_request import bounded, read_json
from streams.console.console import Console
from streams.console.story import tell
from streams.errors import PayloadInvalid
from streams.projection.row import Row
from streams.sensitive import MASK
from streams.wire.topics import MAX_PAYLOAD_BYTES


async def edited(console: Console, row: Row, text: str) -> bytes:
    """The payload that `text` is, with what is masked in it as it was; as it travels.

    Raises:
        PayloadInvalid: it is no JSON, does not fit its contract, or has another key.
        PayloadTooLarge: it is over the limit.
    """
    told = await tell(console, row)
    entry = told.found.story.entry
    name = told.found.job.name
    if entry is None:
        raise PayloadInvalid("the job went on meanwhile: look at its page again", field="")
    try:
        wanted = orjson.loads(text)
    except ValueError as error:
        raise PayloadInvalid(f"it is no JSON: {error}", field="") from None
    payload = orjson.dumps(kept(wanted, orjson.loads(entry.payload)))
    definition = console.registry.by_name(name)
    if definition is not None:
        key = definition.ordering_key(read_json(definition.payload_type, payload))
        scoped = None if key is None else f"{definition.key_scope}:{key}"
        if scoped != row.key:
            raise PayloadInvalid(
                f"its key would be {scoped!r} instead of {row.key!r}, which is another order: "
                "enqueue it as another job, and discard this one",
                field="",
            )
    return bounded(payload, MAX_PAYLOAD_BYTES, name)


def kept(wanted: Any, before: Any) -> Any:
    """The value, with what reads as masked replaced by what was there."""
    if wanted == MASK:
        return before
    if isinstance(wanted, dict) and isinstance(before, dict):
        return {name: kept(each, before.get(name, each)) for name, each in wanted.items()}
    if isinstance(wanted, list) and isinstance(before, list):
        return [
            kept(each, before[at] if at < len(before) else each) for at, each in enumerate(wanted)
        ]
    return wanted
