"""What is kept of the records of others' jobs, and what they are compared by."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from streams.jobs.identity import JobKey
from streams.jobs.outcome import Failure
from streams.jobs.states import State
from streams.replay.comparing import Account, Ended, Sent
from streams.replay.recorded import Recorded, account_of, ended_its_worker
from streams.wire.envelope import Envelope, Record, encode
from streams.wire.reader import Stretch
from streams.wire.state import AttemptRecord, LedgerRecord, OpenEntry, encode_ledger, encode_open
from streams.wire.topics import TopicNames

NAMES = TopicNames("p.")
JOB = JobKey(name="mail", ordering_key="mail:7", id="mail:1")
NO = Failure(type="ValueError", message="no", trace="")


@pytest.fixture
def recorded(tmp_path: Path) -> Iterator[Recorded]:
    found = Recorded(tmp_path / "recorded", NAMES, ["default"], ["shipped"])
    found.look_for(["mail"])
    yield found
    found.close()


def ledger(state: State = State.COMPLETED, **more: Any) -> LedgerRecord:
    known: dict[str, Any] = {"job": JOB, "time": 1, "generation": 0, "run": 0, "attempts": 1}
    return LedgerRecord(**{**known, "state": state, "ended": 9, **more})


def entry(state: State, **more: Any) -> OpenEntry:
    known: dict[str, Any] = {"job": JOB, "time": 1, "generation": 0, "run": 0, "attempts": 1}
    rest: dict[str, Any] = {"arrival": 0, "due": None, "blocks": False, "record_key": b"k"}
    return OpenEntry(**{**known, **rest, "headers": (), "payload": b"{}", "state": state, **more})


def attempt(started: int) -> AttemptRecord:
    return AttemptRecord(attempt=1, started=started, ended=9, worker="w", outcome="completed")


def state_record(topic: str, key: bytes, value: bytes | None) -> Record:
    return Record(topic=topic, partition=0, offset=0, timestamp=0, key=key, value=value)


def sent_record(topic: str, parent: str, id: str, payload: bytes = b"1") -> Record:
    envelope = Envelope(
        id=id, name="ship", source="mail", time=1, payload=payload, parent=parent, key="ship:1"
    )
    key, value, headers = encode(envelope)
    return Record(
        topic=topic, partition=0, offset=0, timestamp=5, key=key, value=value,
        headers=tuple(headers),
    )  # fmt: skip


def test_the_newest_of_what_is_told_counts(recorded: Recorded) -> None:
    retry, ledgers = NAMES.retry("default"), NAMES.ledger("default")
    assert recorded.found("mail:1") is None

    opened = entry(State.DEAD, failure=NO)
    recorded.take_state([state_record(retry, *encode_open(opened))])
    assert recorded.found("mail:1") == opened

    over = ledger(result=b"1")
    recorded.take_state([state_record(ledgers, *encode_ledger(over))])
    assert recorded.found("mail:1") == over  # its entry has not been removed yet

    again = entry(State.RETRYING, generation=1)
    recorded.take_state([state_record(retry, *encode_open(again))])
    assert recorded.found("mail:1") == again

    recorded.take_state([state_record(retry, JOB.encode(), None)])
    assert recorded.found("mail:1") == over


def test_jobs_of_other_names_and_what_is_no_job_are_passed_over(recorded: Recorded) -> None:
    other = JobKey(name="mailer", ordering_key=None, id="mail:1")
    _, value = encode_ledger(ledger())
    topic = NAMES.ledger("default")
    recorded.take_state(
        [
            state_record(topic, other.encode(), value),
            state_record(topic, b"#epoch", b"1"),
            state_record(topic, JOB.encode(), b"what is this"),
        ]
    )
    assert recorded.found("mail:1") is None


@pytest.mark.parametrize(
    ("found", "account"),
    [
        (ledger(result=b"1"), Account(ended=Ended.COMPLETED, result=b"1")),
        (
            entry(State.DEAD, failure=NO),
            Account(ended=Ended.FAILED, error="ValueError", message="no"),
        ),
        (
            ledger(State.DISCARDED, failure=NO, reason="by an operator"),
            Account(ended=Ended.FAILED, error="ValueError", message="no"),
        ),
        (
            ledger(State.DISCARDED, reason="old"),
            Account(ended=Ended.DISCARDED, message="old"),
        ),
        (None, "no record of it is left"),
        (ledger(State.CANCELLED), "it was cancelled"),
        (ledger(State.EXPIRED), "it expired"),
        (entry(State.RETRYING, failure=NO), "it is not over (retrying)"),
        (
            entry(State.DEAD, failure=Failure(type="UnknownJob", message="", trace="")),
            "no worker knew its handler then",
        ),
    ],
)
def test_what_a_job_came_to(found: Any, account: Account | str) -> None:
    assert account_of(found) == account


def test_a_job_that_ended_its_worker_is_known() -> None:
    died = Failure(type="WorkerDied", message="", trace="")
    assert ended_its_worker(entry(State.DEAD, failure=died))
    assert not ended_its_worker(entry(State.DEAD, failure=NO))
    assert not ended_its_worker(None)


def test_what_a_job_has_sent_is_told_once(recorded: Recorded) -> None:
    queue = NAMES.queue("default")
    recorded.take_sent(
        [
            sent_record(queue, "mail:1", "a", b"1"),
            sent_record(queue, "mail:1", "a", b"1"),  # a run that was repeated
            sent_record(queue, "mail:1", "b", b"2"),
            sent_record(queue, "mail:2", "c"),
            sent_record(queue, "other:1", "d"),
        ]
    )
    assert recorded.sent_by(ledger(), frozenset({queue})) == (
        Sent(name="ship", key="ship:1", payload=b"1"),
        Sent(name="ship", key="ship:1", payload=b"2"),
    )
    assert recorded.sent_by(ledger(), frozenset()) == ()


def test_only_topics_that_have_kept_all_since_a_job_began_tell_what_it_sent(
    recorded: Recorded,
) -> None:
    queue, event = NAMES.queue("default"), NAMES.event("shipped")

    def kept(begin: int, start: int, topic: str) -> Stretch:
        return Stretch(topic=topic, partition=0, begin=begin, start=start, end=99)

    recorded.note_kept(
        [kept(5, 5, queue), kept(5, 7, event)], {(queue, 0): 2_000, (event, 0): 9}, trimmed=3_000
    )
    assert recorded.topics_since(ledger(history=(attempt(1_000),))) == {event}
    assert recorded.topics_since(ledger(history=(attempt(2_000),))) == {queue, event}
    replayed = ledger(history=(attempt(2_000),), generation=1)
    assert recorded.topics_since(replayed) == frozenset()
    forgotten = ledger(history=(attempt(2_000),), attempts=12)
    assert recorded.topics_since(forgotten) == frozenset()


def test_an_empty_queue_has_lost_nothing_that_is_younger_than_what_is_trimmed(
    recorded: Recorded,
) -> None:
    queue, event = NAMES.queue("default"), NAMES.event("shipped")
    recorded.note_kept(
        [Stretch(topic=topic, partition=0, begin=5, start=5, end=5) for topic in (queue, event)],
        {},
        trimmed=3_000,
    )
    assert recorded.topics_since(ledger(history=(attempt(2_999),))) == frozenset()
    assert recorded.topics_since(ledger(history=(attempt(3_000),))) == {queue}
