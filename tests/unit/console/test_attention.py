"""What needs attention first, in words."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from streams.console.attention import Situation, notices
from streams.projection.numbers import Ended
from streams.replay.workers import Running, WorkerSeen

NOW = 1_800_000_000_000
MIN = 60_000


def _queue(**more: Any) -> dict[str, Any]:
    return {"name": "email", "waiting": 0, "failed": 0, "paused": None, **more}


def _worker(**more: Any) -> WorkerSeen:
    values: dict[str, Any] = {
        "worker": "w-1",
        "group": "workers",
        "version": "1.0",
        "started": NOW - 60 * MIN,
        "seen": NOW,
        "partitions": {"email": (0, 1)},
        "standbys": {},
        "in_hand": 0,
        "running": (),
    }
    return WorkerSeen(**{**values, **more})


CALM = Situation(
    now=NOW,
    queues=[_queue()],
    oldest={},
    owners={"email": frozenset({0, 1})},
    partitions=2,
    workers=[_worker()],
    ended=[],
)


def _texts(situation: Situation) -> list[tuple[str, str]]:
    return [(notice.severity, notice.text) for notice in notices(situation)]


def test_all_is_well():
    assert _texts(CALM) == [("good", "All is well: nothing waits long, and nothing fails.")]


def test_an_error_that_many_attempts_end_with_is_named_with_its_share_and_since_when():
    since = NOW - 10 * MIN
    ended = [
        Ended(at=since, queue="email", name="a.mail", state="retrying", error="x.Odd", number=6),
        Ended(at=since, queue="email", name="a.mail", state="completed", error=None, number=94),
        # of before: too long ago to matter
        Ended(
            at=NOW - 60 * MIN, queue="email", name="a.mail", state="dead", error="x.Old", number=99
        ),
    ]

    (said,) = notices(replace(CALM, ended=ended))

    assert said.severity == "warning"
    assert said.text == "email: 6 % of attempts fail with Odd in mail, 6 since 07:50."
    assert said.link == "/ui/jobs?queue=email&error=x.Odd"


def test_jobs_that_gave_up_are_serious():
    ended = [Ended(at=NOW, queue="email", name="mail", state="dead", error="Odd", number=5)]

    (said,) = notices(replace(CALM, ended=ended))

    assert said.severity == "bad"
    assert "5 jobs gave up" in said.text


def test_a_failure_among_many_is_no_news():
    ended = [
        Ended(at=NOW, queue="email", name="mail", state="retrying", error="Odd", number=4),
        Ended(at=NOW, queue="email", name="mail", state="completed", error=None, number=10),
    ]

    assert [severity for severity, _ in _texts(replace(CALM, ended=ended))] == ["good"]


def test_without_workers_nothing_else_is_said_of_them():
    (said,) = notices(replace(CALM, workers=[], owners={}))

    assert said.severity == "bad"
    assert said.text.startswith("No worker is at work")


def test_what_waits_is_told_by_its_reason():
    waits = _queue(waiting=3)
    paused = _queue(waiting=3, paused={"since": ""})
    old = {"email": NOW - 5 * MIN}

    assert _texts(replace(CALM, queues=[paused], oldest=old)) == [
        ("warning", "email is paused, and 3 jobs wait.")
    ]
    assert _texts(replace(CALM, queues=[waits], owners={}, oldest=old)) == [
        ("bad", "email: 3 jobs wait, and no worker serves it.")
    ]
    assert _texts(replace(CALM, queues=[waits], oldest=old)) == [
        ("warning", "email: the oldest of 3 waiting jobs has waited for 5 min.")
    ]
    assert [severity for severity, _ in _texts(replace(CALM, queues=[waits]))] == ["good"]


def test_workers_of_several_versions_and_attempts_that_go_on_and_on():
    long = Running(name="mail", id="1", key=None, attempt=1, since=NOW - 20 * MIN)
    others = [_worker(running=(long,)), _worker(worker="w-2", version="1.1")]

    assert _texts(replace(CALM, workers=others)) == [
        ("warning", "Workers have 2 versions: 1.0, 1.1."),
        ("warning", "w-1 runs something for 20 min."),
    ]


def test_letters_that_nobody_resolved_and_the_worst_first():
    both = [_queue(failed=2), _queue(name="bulk", waiting=1)]

    said = _texts(replace(CALM, queues=both, owners={"email": frozenset({0})}))

    assert said == [
        ("bad", "bulk: 1 job waits, and no worker serves it."),
        ("warning", "email: 2 dead letters nobody has resolved."),
    ]


def test_a_letter_of_just_now_that_no_error_was_named_for_is_told():
    few = [Ended(at=NOW, queue="email", name="mail", state="dead", error="Odd", number=1)]

    said = _texts(replace(CALM, queues=[_queue(failed=1)], ended=few))

    assert said == [("warning", "email: 1 dead letter nobody has resolved.")]


def test_letters_of_a_queue_are_not_told_twice():
    many = [Ended(at=NOW, queue="email", name="mail", state="dead", error="Odd", number=5)]

    (said,) = notices(replace(CALM, queues=[_queue(failed=5)], ended=many))

    assert "5 jobs gave up" in said.text


def test_while_kafka_is_silent_nothing_is_said_of_workers_that_are_not_heard():
    assert _texts(replace(CALM, workers=[], is_connected=False)) == [
        ("warning", "Whether workers are at work is not known while Kafka does not answer.")
    ]


def test_records_that_nobody_could_read_are_told() -> None:
    assert _texts(replace(CALM, unread=1)) == [("warning", "1 record that nobody could read.")]
