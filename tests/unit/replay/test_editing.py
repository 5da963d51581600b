"""Payloads that are changed before a replay: by a patch, and as their contract has them."""

from __future__ import annotations

import orjson
import pytest
from letters import a_letter

from streams import JobPayload, job
from streams.errors import PayloadInvalid, StreamsError
from streams.jobs.identity import JobKey
from streams.jobs.registry import Registry
from streams.replay.editing import Editing, decoded, patching
from streams.replay.letters import Letter


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


def of(payload: bytes | None, name: str = "mail") -> Letter:
    return a_letter(job=JobKey(name=name, ordering_key=f"{name}:7", id="a"), payload=payload)


def test_what_fits_is_what_it_is_replayed_with() -> None:
    edited = Editing(REGISTRY, patching(TO_ADA)).edited(of(b'{"account":7,"to":"bob"}'))
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
        Editing(REGISTRY, patching(patch)).edited(letter)


@pytest.mark.parametrize("patch", ["", "[1]", "{}", '[{"op": "jump", "path": "/x"}]'])
def test_what_is_no_patch_is_refused_at_once(patch: str) -> None:
    with pytest.raises(StreamsError, match="no JSON Patch"):
        patching(patch)


def test_another_job_has_its_own_contract() -> None:
    letter = of(b'{"account":7,"to":"x"}', "gone")
    edited = Editing(REGISTRY, lambda value: value, "note").edited(letter)
    assert orjson.loads(edited.edited or b"") == {"account": 7, "to": "x"}


def test_only_what_was_decoded_can_go_elsewhere() -> None:
    assert decoded(of(b"{}")) == of(b"{}")
    with pytest.raises(PayloadInvalid, match="could not be decoded"):
        decoded(a_letter(job=None))
