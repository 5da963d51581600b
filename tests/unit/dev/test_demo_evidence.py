"""The demo's judge: the whole story passes, and each way to fall short of it is named."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from streams.dev.demo_evidence import Evidence, Letter, News, Part, Person, Queued
from streams.jobs.identity import JobKey
from streams.jobs.states import State
from streams.wire.envelope import Record
from streams.wire.letters import letter_key
from streams.wire.state import AttemptRecord, LedgerRecord, OpenEntry, encode_ledger, encode_open
from streams.wire.topics import TopicNames

PEOPLE = [
    Person(part=part, user_id=1, address=f"{part}@x", event_id=f"event-{part}", job_id=part.value)
    for part in Part
]
NAMES = TopicNames()


def job(part: Part) -> JobKey:
    return JobKey(name="mail", ordering_key=None, id=part.value)


def ending(part: Part, generation: int = 0, second_started: int | None = None) -> LedgerRecord:
    history: tuple[AttemptRecord, ...] = ()
    if second_started is not None:
        history = (
            AttemptRecord(
                attempt=2,
                started=second_started,
                ended=second_started,
                worker="w",
                outcome="completed",
            ),
        )
    return LedgerRecord(
        job=job(part), state=State.COMPLETED, time=1, generation=generation, run=0, attempts=1,
        ended=9, history=history,
    )  # fmt: skip


RETRYING = OpenEntry(
    job=job(Part.LATE), state=State.RETRYING, time=1, generation=0, run=1, attempts=1, arrival=0,
    due=500, blocks=False, record_key=None, headers=(), payload=b"",
)  # fmt: skip


def story() -> Evidence:
    news: dict[str, list[News]] = {
        Part.FINE.value: [Queued(), ending(Part.FINE)],
        Part.LATE.value: [Queued(), RETRYING, ending(Part.LATE, second_started=500)],
        Part.LOST.value: [
            Queued(),
            Letter(resolved=False),
            Letter(resolved=True),
            ending(Part.LOST, generation=1),
        ],
    }
    return Evidence(NAMES, "critical", PEOPLE, news)


DELIVERED = {person.address: 1 for person in PEOPLE}


def test_the_whole_story_misses_nothing() -> None:
    assert story().missing(DELIVERED) == []


def test_nothing_at_all_misses_everything() -> None:
    missing = Evidence(NAMES, "critical", PEOPLE).missing({})
    assert len(missing) == 6


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda n: n["fine"].append(ending(Part.FINE)), "2 ledger records"),
        (lambda n: n["fine"].append(Letter(resolved=False)), "should not be"),
        (lambda n: n["late"].remove(RETRYING), "0 entries"),
        (lambda n: n["late"].append(replace(RETRYING, run=2)), "2 entries"),
        (
            lambda n: n["late"].__setitem__(2, ending(Part.LATE, second_started=499)),
            "1 ms before it was due",
        ),
        (lambda n: n["lost"].remove(Letter(resolved=True)), "was not replayed"),
        (lambda n: n["lost"].__setitem__(3, ending(Part.LOST)), "in generation 0, not 1"),
        (lambda n: n["lost"].pop(), "0 ledger records"),
    ],
)
def test_each_gap_is_named(spoil: Callable[[dict[str, list[News]]], object], said: str) -> None:
    evidence = story()
    spoil(evidence.news)
    (missing,) = evidence.missing(DELIVERED)
    assert said in missing


def test_a_message_that_came_twice_is_named() -> None:
    (missing,) = story().missing({**DELIVERED, "late@x": 2})
    assert missing == "late@x: 2 messages arrived, not one"


def test_records_become_news_and_strangers_are_passed_over() -> None:
    evidence = Evidence(NAMES, "critical", PEOPLE)

    def take(topic: str, key: bytes, value: bytes | None) -> object:
        told = evidence.take(Record(topic, 0, 0, 0, key, value))
        return None if told is None else told[1]

    retry, ledger = NAMES.retry("critical"), NAMES.ledger("critical")
    assert take(retry, *encode_open(RETRYING)) == RETRYING
    assert take(ledger, *encode_ledger(ending(Part.FINE))) == ending(Part.FINE)
    assert take(NAMES.dead, letter_key(job(Part.LOST), "critical", 0), b"x") == Letter(
        resolved=False
    )
    assert take(NAMES.dead, letter_key(job(Part.LOST), "critical", 0), None) == Letter(
        resolved=True
    )
    assert take(retry, RETRYING.job.encode(), None) is None
    stranger = replace(RETRYING, job=replace(RETRYING.job, id="stranger"))
    assert take(retry, *encode_open(stranger)) is None
    assert take(retry, b"#bookkeeping", b"1") is None
