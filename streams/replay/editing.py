"""Payloads of dead letters, changed and checked before anything is sent. Pure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import jsonpatch
import orjson

from streams.client_request import read_json
from streams.errors import PayloadInvalid, StreamsError
from streams.jobs.definition import JobDefinition
from streams.jobs.meant import advice
from streams.jobs.registry import Registry
from streams.replay.letters import Letter

Change = Callable[[Any], Any]
"""From one JSON value to another."""


def patching(patch: str) -> Change:
    """What a JSON Patch (RFC 6902) does.

    Raises:
        StreamsError: it is none.
    """
    try:
        made = jsonpatch.JsonPatch.from_string(patch)
    except (ValueError, TypeError, jsonpatch.JsonPatchException) as error:
        raise StreamsError(
            f'it is no JSON Patch: {error}; write [{{"op": "replace", "path": "/to", "value": 7}}]'
        ) from None

    def change(value: Any) -> Any:
        try:
            return made.apply(value)
        except (jsonpatch.JsonPatchException, jsonpatch.JsonPointerException) as error:
            raise PayloadInvalid(f"the patch does not fit: {error}", field="") from None

    return change


class Editing:
    """Changes payloads as the handlers that are here can take them."""

    def __init__(self, registry: Registry, change: Change, name: str | None = None) -> None:
        self._registry = registry
        self._change = change
        self._name = name  # of the job that takes it; None: that of the letter

    def edited(self, letter: Letter) -> Letter:
        """The letter with the payload that it is to have.

        Raises:
            PayloadInvalid: that would not fit; the message says why.
        """
        letter_name = decoded(letter).name
        try:
            before = orjson.loads(letter.payload or b"")
        except orjson.JSONDecodeError as error:
            raise PayloadInvalid(f"its payload is no JSON: {error}", field="") from None
        after = orjson.dumps(self._change(before))
        definition = self._definition(self._name or letter_name)
        key = definition.ordering_key(read_json(definition.payload_type, after))
        ordering_key = None if letter.job is None else letter.job.ordering_key
        had = None if ordering_key is None else ordering_key.partition(":")[2]
        if key != had:
            raise PayloadInvalid(
                f"its key would be {key!r} instead of {had!r}, which is another order: enqueue it "
                "as another job, and discard the letter",
                field="",
            )
        return replace(letter, edited=after)

    def _definition(self, name: str) -> JobDefinition:
        definition = self._registry.by_name(name)
        if definition is None:
            known = [each.name for each in self._registry.definitions()]
            raise PayloadInvalid(
                f"no handler here is named {name!r}, so that its payload can't be checked "
                f"(STREAMS_HANDLERS); {advice(name, known)}",
                field="",
            )
        return definition


def decoded(letter: Letter) -> Letter:
    """The letter, if it is of a job.

    Raises:
        PayloadInvalid: it is of what nobody could read.
    """
    if letter.job is None:
        raise PayloadInvalid("it could not be decoded: replay it as it is, or discard it", field="")
    return letter
