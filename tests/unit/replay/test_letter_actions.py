"""What is written to have letters replayed, discarded, and sent elsewhere."""

from __future__ import annotations

from dataclasses import replace

from letters import a_letter

from streams.jobs.identity import JobKey
from streams.replay.actions import Discarding, Moving, Replaying
from streams.replay.letters import Letter, Move
from streams.wire.commands import decode_command
from streams.wire.envelope import Envelope, encode
from streams.wire.partition import partition_of
from streams.wire.topics import TopicNames
from streams.worker.ports import Append

NAMES = TopicNames("p.")
KEYS = partition_of(b"mail:7", 8)
JOB = JobKey(name="mail", ordering_key="mail:7", id="a")


def of_a_job() -> Letter:
    envelope = Envelope(
        id="a",
        name="mail",
        source="s",
        time=1_700,
        payload=b'{"n":1}',
        key="mail:7",
        queue="critical",
        not_before=9_000,
        expires=9_500,
        extensions={"tenant": "x"},
    )
    key, value, headers = encode(envelope)
    return a_letter(job=JOB, generation=2, record_key=key, payload=value, headers=tuple(headers))


def test_a_replay_is_a_command_where_the_job_was_read() -> None:
    ((append,),) = Replaying(NAMES).appends(of_a_job(), 8)
    command = decode_command(append.key or b"", append.value or b"")
    assert (append.topic, append.partition) == ("p.jobs.critical.commands", KEYS)
    assert (command.kind, command.job, command.generation) == ("replay", JOB, 2)
    assert command.payload is None


def test_what_could_not_be_decoded_goes_back_before_its_letter_goes() -> None:
    letter = a_letter(job=None, payload=b"\xff", headers=(("x", b"\x00"),))
    (back,), (tombstone,) = Replaying(NAMES).appends(letter, 8)
    assert (back.topic, back.partition, back.value) == ("p.jobs.critical", 3, b"\xff")
    # by its first place, so that a second copy is the same to whoever can read it by then
    assert back.headers == [("x", b"\x00"), ("ce_id", b"p.jobs.critical/3/17")]
    assert tombstone == Append("p.jobs.dead", 3, letter.key, None)
    known = a_letter(job=None, headers=(("Ce_Id", b"mine"),))
    assert Replaying(NAMES).appends(known, 8)[0][0].headers == [("Ce_Id", b"mine")]


def test_a_discard_is_a_command_or_if_nobody_can_obey_it_a_tombstone() -> None:
    ((append,),) = Discarding(NAMES, "why").appends(of_a_job(), 8)
    command = decode_command(append.key or b"", append.value or b"")
    assert (command.kind, command.reason, command.generation) == ("discard", "why", 2)
    for letter, partitions in ((of_a_job(), 0), (a_letter(job=None), 8)):
        assert Discarding(NAMES, "why").appends(letter, partitions) == [
            [Append("p.jobs.dead", 3, letter.key, None)]
        ]


def test_a_move_says_where_the_job_goes_on() -> None:
    letter = replace(
        of_a_job(), edited=b'{"n":2}', moves=Move(queue="bulk", name="note", key="note:7")
    )
    ((append,),) = Moving(NAMES, 5_000).appends(letter, 8)
    command = decode_command(append.key or b"", append.value or b"")
    assert (append.topic, append.partition) == ("p.jobs.critical.commands", KEYS)
    assert (command.kind, command.job, command.generation) == ("move", JOB, 2)
    assert (command.queue, command.name, command.key) == ("bulk", "note", "note:7")
    assert (command.payload, command.due) == (b'{"n":2}', 5_000)
