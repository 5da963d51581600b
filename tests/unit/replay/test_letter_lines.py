"""Letters as lines of JSON, and back."""

from __future__ import annotations

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from letters import a_letter

from streams.errors import UndecodableRecord
from streams.jobs.identity import JobKey
from streams.replay.letter_lines import dead_entry, letter_of_line, line_of
from streams.replay.letters import letter_from
from streams.wire import headers as h
from streams.wire.envelope import Envelope, Record, encode
from streams.wire.letters import letter_of

TEXT = st.text(max_size=20).filter(lambda text: text.isprintable())
BYTES = st.binary(max_size=20)


@given(id=TEXT, name=TEXT, key=st.none() | TEXT, payload=BYTES, value=BYTES, trace=TEXT)
def test_a_line_has_all_of_a_letter(
    id: str, name: str, key: str | None, payload: bytes, value: bytes, trace: str
) -> None:
    letter = a_letter(
        job=JobKey(name=name, ordering_key=key, id=id),
        payload=payload,
        record_key=value,
        headers=(("x", value),),
        trace=trace,
    )
    read = letter_of_line(line_of(letter))
    for field in ("job", "queue", "generation", "attempts", "error", "message", "trace", "origin"):
        assert getattr(read, field) == getattr(letter, field)
    assert (read.payload, read.record_key, read.headers) == (payload, value, letter.headers)
    assert (read.worker, read.version) == (letter.worker, letter.version)


def test_what_could_not_be_decoded_has_its_bytes_and_place() -> None:
    letter = a_letter(job=None, key=b"p.jobs.critical/3/17", payload=None)
    read = letter_of_line(line_of(letter))
    assert (read.job, read.payload, read.id) == (None, None, "p.jobs.critical/3/17")


@pytest.mark.parametrize(
    ("line", "why"),
    [
        (b"{}", "has no 'origin'"),
        (b"[]", "no line of"),
        (b"no json", "no line of"),
        (line_of(a_letter()).replace(b'"generation":0', b'"generation":"x"'), "no line of"),
        (line_of(a_letter(payload=None)), "no payload"),
    ],
)
def test_what_is_no_line_of_ours_is_refused(line: bytes, why: str) -> None:
    with pytest.raises(UndecodableRecord, match=why):
        letter_of_line(line)


def test_a_dead_job_is_made_of_its_letter_and_gives_the_same_letter() -> None:
    envelope = Envelope(
        id="a", name="mail", source="s", time=1_700, payload=b'{"n":1}', key="mail:7", queue="q"
    )
    key, value, headers = encode(envelope)
    letter = a_letter(record_key=key, payload=value, headers=tuple(headers))
    entry = dead_entry(letter)
    assert (entry.time, entry.generation, entry.letter_pending) == (1_700, 0, True)
    made = letter_of(entry, "critical", "w")
    again = letter_from(Record("p.jobs.dead", 0, 0, 0, made[0], made[1], tuple(made[2])))
    assert (again.job, again.error, again.origin) == (letter.job, letter.error, letter.origin)
    assert again.headers == letter.headers
    assert h.CE_ID in dict(again.headers)


def test_no_dead_job_is_made_of_what_nobody_can_read() -> None:
    with pytest.raises(UndecodableRecord):
        dead_entry(a_letter())  # it has no headers
    assert orjson.loads(line_of(a_letter()))["payload"] == "{}"
