"""A dead job's payload, changed by hand: checked before anything is sent."""

from __future__ import annotations

import json
from typing import Any, Final

from pydantic_core import from_json

from streams.client_request import bounded, read_json
from streams.console.console import Console
from streams.console.story import tell
from streams.errors import PayloadInvalid
from streams.projection.job import Job
from streams.sensitive import MASK
from streams.wire.topics import MAX_PAYLOAD_BYTES

_NOTHING: Final = object()


async def edited(console: Console, job: Job, text: str) -> bytes:
    """The payload that `text` is, with what is masked in it as it was; as it travels.

    Raises:
        PayloadInvalid: it is no JSON, does not fit its contract, or has another key.
        PayloadTooLarge: it is over the limit.
    """
    told = await tell(console, job)
    entry = told.found.story.entry
    name = told.found.job.name
    if entry is None:
        raise PayloadInvalid("the job went on meanwhile: look at its page again", field="")
    try:
        before = from_json(entry.payload)
    except ValueError:
        raise PayloadInvalid("what it has is no JSON: it can't be edited here", field="") from None
    try:
        wanted = from_json(text)
    except ValueError as error:
        raise PayloadInvalid(f"it is no JSON: {error}", field="") from None
    payload = json.dumps(kept(wanted, before), ensure_ascii=False).encode()
    definition = console.registry.by_name(name)
    if definition is not None:
        key = definition.ordering_key(read_json(definition.payload_type, payload))
        scoped = None if key is None else f"{definition.key_scope}:{key}"
        if scoped != job.row.key:
            raise PayloadInvalid(
                f"its key would be {scoped!r} instead of {job.row.key!r}, which is another order: "
                "enqueue it as another job, and discard this one",
                field="",
            )
    return bounded(payload, MAX_PAYLOAD_BYTES, name)


def kept(wanted: Any, before: Any) -> Any:
    """The value, with what reads as masked replaced by what was there.

    Raises:
        PayloadInvalid: something masked has nothing that it could have been.
    """
    if wanted == MASK:
        if before is _NOTHING:
            raise PayloadInvalid(
                f"{MASK} stands for what was there, and there was nothing: write it out", field=""
            )
        return before
    if isinstance(wanted, dict):
        had = before if isinstance(before, dict) else {}
        return {name: kept(each, had.get(name, _NOTHING)) for name, each in wanted.items()}
    if isinstance(wanted, list):
        # Which of them was which can't be known once there are more or fewer.
        if not isinstance(before, list) or len(before) != len(wanted):
            return [kept(each, _NOTHING) for each in wanted]
        return [
            kept(each, _NOTHING if _is_moved(each, at, before) else before[at])
            for at, each in enumerate(wanted)
        ]
    return wanted


def _is_moved(each: Any, at: int, before: list[Any]) -> bool:
    """Whether it was at another place: what is masked in it is not what was at this one."""
    return not _is_as(each, before[at]) and any(_is_as(each, other) for other in before)


def _is_as(wanted: Any, before: Any) -> bool:
    """Whether two values are the same, as far as can be seen."""
    if wanted == MASK:
        return True
    if isinstance(wanted, dict) and isinstance(before, dict):
        return wanted.keys() == before.keys() and all(
            _is_as(each, before[name]) for name, each in wanted.items()
        )
    if isinstance(wanted, list) and isinstance(before, list):
        return len(wanted) == len(before) and all(map(_is_as, wanted, before))
    return bool(wanted == before)
