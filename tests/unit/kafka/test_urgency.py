"""Urgent partitions come first, and others make way for them only while both have work."""

from __future__ import annotations

from faust.types import TP

from streams.kafka.urgency import LASTS, Urgency

CRITICAL, DEFAULT, BULK = (TP(f"jobs.{name}", 0) for name in ("critical", "default", "bulk"))
WEIGHTS = {CRITICAL.topic: 6, DEFAULT.topic: 3, BULK.topic: 1}
ONE, MANY = range(1), range(2_000)


def test_what_weighs_most_is_asked_for_first_and_the_least_is_not_urgent():
    urgency = Urgency(WEIGHTS)
    topics = [BULK.topic, "events.of_some_kind", DEFAULT.topic, CRITICAL.topic]
    assert sorted(topics, key=urgency.order)[:2] == [CRITICAL.topic, DEFAULT.topic]
    assert urgency.of([BULK, CRITICAL, DEFAULT]) == {CRITICAL, DEFAULT}
    assert not Urgency({BULK.topic: 3, CRITICAL.topic: 3}).of([BULK, CRITICAL])
    assert not Urgency({}).of([BULK])


def test_a_backlog_makes_way_while_urgent_jobs_come_one_by_one():
    urgency = Urgency(WEIGHTS)
    urgency.took({BULK: MANY}, now=10.0)
    assert not urgency.makes_way(10.0)  # nothing is urgent
    urgency.took({CRITICAL: ONE}, now=11.0)
    assert urgency.makes_way(11.0)
    assert not urgency.makes_way(11.0 + LASTS)


def test_nothing_makes_way_for_a_backlog_that_is_urgent_itself():
    urgency = Urgency(WEIGHTS)
    urgency.took({CRITICAL: MANY, DEFAULT: MANY, BULK: MANY}, now=10.0)
    assert not urgency.makes_way(10.0)


def test_a_few_of_the_others_are_no_backlog():
    urgency = Urgency(WEIGHTS)
    urgency.took({CRITICAL: ONE, BULK: ONE}, now=10.0)
    assert not urgency.makes_way(10.0)
