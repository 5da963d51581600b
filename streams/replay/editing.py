"""Letters prepared before anything is sent: payloads changed and checked, and where they go."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final

import jsonpatch

from streams.client_request import read_json
from streams.errors import PayloadInvalid, StreamsError, UndecodableRecord
from streams.jobs.definition import JobDefinition
from streams.jobs.meant import advice
from streams.jobs.registry import Registry
from streams.replay.letter_lines import record_of
from streams.replay.letters import Letter, Move
from streams.wire.envelope import decode
from streams.wire.topics import MAX_PAYLOAD_BYTES

_OF_PATCHES: Final = (jsonpatch.JsonPatchException, jsonpatch.JsonPointerException)

Change = Callable[[Any], Any]
"""From one JSON value to another."""


def patching(patch: str) -> Change:
    """What a JSON Patch (RFC 6902) does.

    Raises:
        StreamsError: it is none.
    """
    try:
        made = jsonpatch.JsonPatch.from_string(patch)
    except (ValueError, TypeError, *_OF_PATCHES) as error:
        raise StreamsError(
            f'it is no JSON Patch: {error}; write [{{"op": "replace", "path": "/to", "value": 7}}]'
        ) from None

    def change(value: Any) -> Any:
        try:
            return made.apply(value)
        except _OF_PATCHES as error:
            raise PayloadInvalid(f"the patch does not fit: {error}", field="") from None

    return change


class Editing:
    """Changes payloads as the handlers that are here can take them."""

    def __init__(self, registry: Registry, change: Change) -> None:
        self._registry = registry
        self._change = change

    def prepared(self, letter: Letter) -> Letter:
        """The letter with the payload that it is to have.

        Raises:
            PayloadInvalid: that would not fit; the message says why.
        """
        definition = self._definition(decoded(letter).name)
        edited = changed(letter, self._change)
        key = definition.ordering_key(read_json(definition.payload_type, edited))
        had = None if letter.job is None else letter.job.ordering_key
        own = None if had is None else had.removeprefix(f"{definition.key_scope}:")
        if own != key:
            raise PayloadInvalid(
                f"its key would be {key!r} instead of {own!r}, which is another order: enqueue it "
                "as another job, and discard the letter",
                field="",
            )
        return replace(letter, edited=edited)

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


class Sending:
    """Says where letters go on: in another queue, and as a job of another definition."""

    def __init__(
        self, queue: str | None, definition: JobDefinition | None, change: Change | None
    ) -> None:
        self._queue = queue
        self._definition = definition  # None: as the job that it is
        self._change = change

    def prepared(self, letter: Letter) -> Letter:
        """The letter with its new place; of another definition, with a payload that it takes.

        Raises:
            PayloadInvalid: it would not fit, or is there already.
        """
        job = decoded(letter).job
        assert job is not None
        definition = self._definition
        name = job.name if definition is None else definition.name
        queue = self._queue or (letter.queue if definition is None else definition.queue)
        if (queue, name) == (letter.queue, job.name):
            raise PayloadInvalid(f"it is in queue {queue} as {name} already: replay it", field="")
        edited = None if self._change is None else changed(letter, self._change)
        key = job.ordering_key
        if definition is not None:
            payload = changed(letter, _as_it_is) if edited is None else edited
            own = definition.ordering_key(read_json(definition.payload_type, payload))
            key = None if own is None else f"{definition.key_scope}:{own}"
        return replace(letter, edited=edited, moves=Move(queue=queue, name=name, key=key))


def changed(letter: Letter, change: Change) -> bytes:
    """The payload of a letter, changed.

    Raises:
        PayloadInvalid: it is not JSON, or is too large afterwards.
    """
    try:
        payload = decode(record_of(letter)).payload
        before = json.loads(payload)  # not orjson: it makes other numbers of long ones
    except (UndecodableRecord, ValueError, RecursionError) as error:
        raise PayloadInvalid(f"its payload is no JSON: {error}", field="") from None
    after = json.dumps(change(before), ensure_ascii=False).encode()
    if len(after) > MAX_PAYLOAD_BYTES:
        raise PayloadInvalid(
            f"it would have {len(after)} bytes, the limit is {MAX_PAYLOAD_BYTES}", field=""
        )
    return after


def _as_it_is(value: Any) -> Any:
    return value


def decoded(letter: Letter) -> Letter:
    """The letter, if it is of a job.

    Raises:
        PayloadInvalid: it is of what nobody could read.
    """
    if letter.job is None:
        raise PayloadInvalid("it could not be decoded: replay it as it is, or discard it", field="")
    return letter
