"""Payloads that are changed before a replay: by a patch, and as their contract has them."""

from __future__ import annotations

import json
from dataclasses import replace

import orjson
import pytest
from letters import a_letter

from streams import JobPayload, job
from streams.errors import PayloadInvalid, StreamsError
from streams.jobs.identity import JobKey
from streams.jobs.registry import Registry
from streams.replay.editing import Editing, Sending, changed, decoded, patching
from streams.replay.letters import Letter, Move
from streams.wire.envelope import Envelope, encode


class Mail(JobPayload, name="mail", key="account"):
    account: int
    to: str


class Note(JobPayload, name="note", key="account"):
    account: int
    to: str


@job
async def mail(payload: Mail) -> None: ...


@job
async def note(payload: Note) -> None: ...


REGISTRY = Registry.build([mail.__job_definition__, note.__job_definition__], ["default"])
TO_ADA = '[{"op": "replace", "path": "/to", "value": "ada@example.org"}]'


def of(payload: bytes, name: str = "mail", queue: str = "default") -> Letter:
    envelope = Envelope(
        id="a", name=name, source="s", time=1, payload=payload, key=f"{name}:7", queue=queue
    )
    key, value, headers = encode(envelope)
    return a_letter(
        queue=queue,
        job=JobKey(name=name, ordering_key=f"{name}:7", id="a"),
        payload=value,
        record_key=key,
        headers=tuple(headers),
    )


def test_what_fits_is_what_it_is_replayed_with() -> None:
    edited = Editing(REGISTRY, patching(TO_ADA)).prepared(of(b'{"account":7,"to":"bob"}'))
    assert orjson.loads(edited.edited or b"") == {"account": 7, "to": "ada@example.org"}
    assert edited.payload == b'{"account":7,"to":"bob"}'


@pytest.mark.parametrize(
    ("patch", "letter", "why"),
    [
        ('[{"op": "remove", "path": "/to"}]', of(b'{"account":7,"to":"x"}'), "Mail.to: Field"),
        (
            '[{"op": "replace", "path": "/account", "value": 8}]',
            of(b'{"account":7,"to":"x"}'),
            "its key would be '8' instead of '7'",
        ),
        ('[{"op": "test", "path": "/to", "value": 1}]', of(b'{"to":2}'), "the patch does not fit"),
        ('[{"op": "remove", "path": "/x/y"}]', of(b'{"to":2}'), "the patch does not fit"),
        (TO_ADA, of(b"\xff"), "no JSON"),
        (TO_ADA, of(b'{"to":1}', "mails"), "did you mean mail?"),
        (TO_ADA, a_letter(job=None), "could not be decoded"),
    ],
)
def test_what_does_not_fit_is_refused(patch: str, letter: Letter, why: str) -> None:
    with pytest.raises(PayloadInvalid, match=why):
        Editing(REGISTRY, patching(patch)).prepared(letter)


@pytest.mark.parametrize(
    "patch", ["", "[1]", "{}", '[{"op": "remove", "path": "x"}]', '[{"op": "jump", "path": "/x"}]']
)
def test_what_is_no_patch_is_refused_at_once(patch: str) -> None:
    with pytest.raises(StreamsError, match="no JSON Patch"):
        patching(patch)


def test_numbers_that_are_not_changed_stay_the_same() -> None:
    change = patching('[{"op": "add", "path": "/new", "value": 1}]')
    letter = of(b'{"wei":20000000000000000001,"half":0.5,"big":1e15}')
    assert json.loads(changed(letter, change)) == {
        "wei": 20000000000000000001,
        "half": 0.5,
        "big": 1e15,
        "new": 1,
    }


def test_what_would_be_too_large_is_refused() -> None:
    change = patching(json.dumps([{"op": "add", "path": "/x", "value": "x" * 950_000}]))
    with pytest.raises(PayloadInvalid, match="the limit is"):
        changed(of(b"{}"), change)


def test_of_a_structured_cloud_event_the_data_is_changed() -> None:
    event = {
        "specversion": "1.0",
        "id": "a",
        "type": "mail",
        "source": "s",
        "data": {"account": 7, "to": "bob"},
    }
    letter = replace(
        of(json.dumps(event).encode()),
        headers=(("content-type", b"application/cloudevents+json"),),
    )
    edited = Editing(REGISTRY, patching(TO_ADA)).prepared(letter)
    assert json.loads(edited.edited or b"") == {"account": 7, "to": "ada@example.org"}


def test_another_job_has_its_own_contract_and_key() -> None:
    letter = of(b'{"account":8,"to":"x"}', "gone")
    sent = Sending(None, note.__job_definition__, None).prepared(letter)
    assert sent.moves == Move(queue="default", name="note", key="note:8")
    assert sent.edited is None
    with pytest.raises(PayloadInvalid, match=r"Note\.to: Field required"):
        Sending(None, note.__job_definition__, None).prepared(of(b'{"account":8}', "gone"))


def test_in_another_queue_it_is_what_it_is_and_where_it_is_it_cannot_go() -> None:
    letter = of(b"\xff")
    assert Sending("bulk", None, None).prepared(letter).moves == Move(
        queue="bulk", name="mail", key="mail:7"
    )
    for sending in (Sending("default", None, None), Sending(None, mail.__job_definition__, None)):
        with pytest.raises(PayloadInvalid, match="in queue default as mail already"):
            sending.prepared(letter)


def test_only_what_was_decoded_can_go_elsewhere() -> None:
    assert decoded(of(b"{}")) == of(b"{}")
    with pytest.raises(PayloadInvalid, match="could not be decoded"):
        Sending("bulk", None, None).prepared(a_letter(job=None))
