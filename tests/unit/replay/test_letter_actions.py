"""What is written to have letters replayed, discarded, and sent elsewhere."""

from __future__ import annotations

from letters import a_letter

from streams.jobs.identity import JobKey
from streams.replay.actions import Discarding, Replaying, Retargeting
from streams.replay.letters import Letter
from streams.wire.envelope import Envelope, Record, decode, encode
from streams.wire.state import decode_command
from streams.wire.topics import TopicNames
from streams.worker.ports import Append

NAMES = TopicNames("p.")
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


def read(append: Append) -> Envelope:
    return decode(Record(append.topic, 0, 0, 0, append.key, append.value, tuple(append.headers)))


def test_a_replay_is_a_command_where_the_job_was_read() -> None:
    ((append,),) = Replaying(NAMES).appends(of_a_job(), 8)
    command = decode_command(append.key or b"", append.value or b"")
    assert (append.topic, append.partition) == ("p.jobs.critical.commands", 3)
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


def test_a_job_sent_elsewhere_is_the_same_one_each_time_and_goes_before_the_old_one_ends() -> None:
    letter = of_a_job()
    action = Retargeting(NAMES, "bulk", None, None)
    (sent,), (command,) = action.appends(letter, 8)
    assert action.appends(letter, 8) == [[sent], [command]]
    job = read(sent)
    assert (sent.topic, sent.partition) == ("p.jobs.bulk", None)
    assert (job.id, job.name, job.queue, job.key) == ("a", "mail", "bulk", "mail:7")
    assert (job.time, job.payload) == (letter.last_failure, b'{"n":1}')
    assert (job.not_before, job.expires, job.extensions) == (None, None, {"tenant": "x"})
    assert decode_command(command.key or b"", command.value or b"").kind == "discard"


def test_as_another_job_it_has_that_ones_scope_and_what_it_was_edited_to() -> None:
    from dataclasses import replace

    letter = replace(of_a_job(), edited=b'{"n":2}')
    ((sent,), _) = Retargeting(NAMES, "bulk", "note", "note").appends(letter, 8)
    job = read(sent)
    assert (job.name, job.key, job.payload, sent.key) == ("note", "note:7", b'{"n":2}', b"note:7")
