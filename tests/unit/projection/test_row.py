"""Rows: what of many records about a job counts, in whatever order they are read."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from told import NOW, Projection, Topics, shown

from streams.jobs.states import State
from streams.projection.states import NAMES
from streams.wire.envelope import Record

Story = Callable[[Topics], None]


def interleaved(records: list[Record], picks: list[int]) -> list[Record]:
    """Those of each topic in their order, the topics in turn as `picks` has it."""
    left: dict[str, list[Record]] = {}
    for record in records:
        left.setdefault(record.topic, []).append(record)
    found = []
    for pick in itertools.chain(picks, itertools.repeat(0)):
        if not left:
            return found
        topic = sorted(left)[pick % len(left)]
        found.append(left[topic].pop(0))
        if not left[topic]:
            del left[topic]
    return found


def read_in_all_ways(records: list[Record]) -> dict[str, object]:
    """What a job's row says, which is the same however its three topics are interleaved."""
    ways = set(itertools.permutations([record.topic for record in records]))
    said = []
    for way in ways:
        left = {topic: [r for r in records if r.topic == topic] for topic in way}
        for at_once in (1, len(records)):
            projection = Projection()
            ordered = [left[topic][way[:n].count(topic)] for n, topic in enumerate(way)]
            for start in range(0, len(ordered), at_once):
                projection.read(ordered[start : start + at_once])
            projection.sweep()
            rows = list(projection.rows.values())
            assert len(rows) == 1
            assert projection.counted() == projection.recount()
            said.append(shown(rows[0]))
            projection.db.close()
    assert all(each == said[0] for each in said)
    return {**said[0], "state": NAMES[rows[0].state]}


def test_it_waits_as_it_was_sent() -> None:
    topics = Topics()
    topics.sent("1", key="mail:7", parent="event-1")
    said = read_in_all_ways(topics.records)
    assert (said["state"], said["at"], said["key"], said["parent"]) == (
        "queued",
        NOW,
        "mail:7",
        "event-1",
    )


@pytest.mark.parametrize(("due", "state"), [(NOW + 1, "scheduled"), (NOW, "queued")])
def test_it_is_scheduled_only_if_it_is_due_later_than_it_was_sent(due: int, state: str) -> None:
    topics = Topics()
    topics.sent("1", due=due)
    said = read_in_all_ways(topics.records)
    assert (said["state"], said["due"]) == (state, due)


def test_state_says_more_than_the_queue() -> None:
    topics = Topics()
    topics.sent("1", due=NOW + 5)
    topics.entry("1", State.RUNNING, due=NOW + 50, attempts=1, progress=(3, 9), at=NOW + 60)
    said = read_in_all_ways(topics.records)
    assert (said["state"], said["at"], said["due"]) == ("running", NOW + 50, None)
    assert (said["attempts"], said["done"], said["total"]) == (1, 3, 9)


def test_the_later_run_counts() -> None:
    topics = Topics()
    topics.sent("1")
    topics.entry("1", State.RETRYING, attempts=1, due=NOW + 9, failure=("KeyError", "x"))
    topics.entry("1", State.SLEEPING, run=1, due=NOW + 99)
    said = read_in_all_ways(topics.records)
    assert (said["state"], said["due"], said["attempts"], said["message"]) == (
        "sleeping",
        NOW + 99,
        0,
        None,
    )


def test_the_later_generation_counts_before_the_run() -> None:
    topics = Topics()
    topics.sent("1")
    topics.entry("1", State.DEAD, run=5, attempts=3, died=NOW + 3)
    topics.entry("1", State.QUEUED, generation=1)
    assert read_in_all_ways(topics.records)["state"] == "queued"


def test_of_one_position_the_later_record_counts() -> None:
    topics = Topics()
    topics.sent("1")
    topics.entry("1", State.SCHEDULED, due=NOW + 9)
    topics.entry("1", State.SCHEDULED, due=NOW + 5)
    assert read_in_all_ways(topics.records)["due"] == NOW + 5


def test_of_one_position_the_ledger_counts_before_the_open_table() -> None:
    topics = Topics()
    topics.sent("1")
    for _ in range(3):  # its offset is the higher one
        topics.entry("1", State.RUNNING, attempts=1)
    topics.over("1", State.COMPLETED, attempts=2, ended=NOW + 40)
    said = read_in_all_ways(topics.records)
    assert (said["state"], said["attempts"], said["at"]) == ("completed", 2, NOW + 40)


def test_what_an_earlier_owner_wrote_late_is_void() -> None:
    topics = Topics()
    topics.sent("1")
    topics.entry("1", State.RUNNING, attempts=1, epoch=2)
    topics.entry("1", State.DEAD, attempts=9, run=7, epoch=1)
    topics.over("2", epoch=2)  # the new owner is there
    topics.over("1", State.COMPLETED, attempts=9, run=7, epoch=1)
    projection = Projection()
    projection.read(topics.records)
    row = projection.row("1")
    assert (NAMES[row.state], row.attempts) == ("running", 1)


def test_a_late_removal_is_void() -> None:
    topics = Topics()
    topics.sent("1")
    topics.entry("1", State.RUNNING, attempts=1, epoch=2)
    topics.entry("1", None, epoch=1)
    topics.commit(5, epoch=2)
    assert read_in_all_ways(topics.records)["state"] == "running"


def test_the_epoch_is_known_after_a_restart() -> None:
    topics = Topics()
    projection = Projection()
    projection.read([topics.entry("1", State.RUNNING, attempts=1, epoch=2)])
    projection.restart()
    projection.read([topics.entry("1", State.DEAD, run=7, epoch=1)])
    assert NAMES[projection.row("1").state] == "running"


def test_without_its_entry_and_without_a_record_it_is_over_and_nobody_says_how() -> None:
    topics = Topics()
    topics.sent("1")
    topics.entry("1", State.RUNNING, attempts=1, due=NOW + 3)
    topics.entry("1", None)
    topics.commit(1)
    said = read_in_all_ways(topics.records)
    assert (said["state"], said["attempts"]) == ("untold", 1)


def test_an_entry_that_is_removed_for_a_record_changes_nothing() -> None:
    topics = Topics()
    topics.sent("1")
    topics.entry("1", State.RETRYING, attempts=1, due=NOW + 9)
    topics.over("1", attempts=2, run=1)
    topics.entry("1", None)
    topics.commit(1)
    assert read_in_all_ways(topics.records)["state"] == "completed"


def test_an_entry_that_was_removed_and_is_there_again_is_there() -> None:
    topics = Topics()
    topics.sent("1")
    topics.entry("1", State.RETRYING, due=NOW + 9)
    topics.entry("1", None)
    topics.entry("1", State.SLEEPING, run=1, due=NOW + 99)
    topics.commit(1)
    assert read_in_all_ways(topics.records)["state"] == "sleeping"


def test_a_ledger_record_that_is_taken_back_says_nothing() -> None:
    topics = Topics()
    topics.sent("1")
    topics.over("1")
    topics.over("1", None)
    assert read_in_all_ways(topics.records)["state"] == "queued"


def test_what_its_queue_has_settled_without_a_record_is_over() -> None:
    topics = Topics()
    topics.sent("1")
    topics.commit(1)
    assert read_in_all_ways(topics.records)["state"] == "untold"


def test_what_its_queue_has_not_settled_waits() -> None:
    topics = Topics()
    topics.sent("0")
    topics.sent("1")
    topics.commit(1)
    projection = Projection()
    projection.read(topics.records)
    assert [NAMES[row.state] for row in projection.sweep()] == ["untold"]
    assert NAMES[projection.row("1").state] == "queued"


def test_of_copies_in_a_queue_the_first_counts() -> None:
    topics = Topics()
    topics.sent("1")
    topics.sent("1")
    topics.commit(1)  # the second one is not settled, and will be passed over
    projection = Projection()
    projection.read(topics.records)
    assert projection.row("1").sent_offset == 0
    projection.sweep()
    assert NAMES[projection.row("1").state] == "untold"


@pytest.mark.parametrize(
    ("again", "state"),
    [(NOW + 5, "completed"), (NOW + 1_009, "completed"), (NOW + 1_010, "queued")],
)
def test_an_id_that_comes_again_is_another_job_when_the_first_is_long_over(
    again: int, state: str
) -> None:
    topics = Topics()
    topics.sent("1")
    topics.over("1", ended=NOW + 10, unique_for_ms=1_000)
    topics.sent("1", time=again)
    said = read_in_all_ways(topics.records)
    assert said["state"] == state
    assert said["at"] == (again if state == "queued" else NOW + 10)


def test_an_id_that_comes_again_while_the_job_is_open_is_passed_over() -> None:
    topics = Topics()
    topics.sent("1")
    topics.entry("1", State.RETRYING, attempts=1, due=NOW + 9)
    topics.sent("1", time=NOW + 5_000)
    assert read_in_all_ways(topics.records)["state"] == "retrying"


def test_an_id_that_comes_again_after_a_job_without_a_record_waits() -> None:
    topics = Topics()
    topics.sent("1")
    topics.entry("1", State.RUNNING)
    topics.entry("1", None)
    topics.commit(1)
    topics.sent("1", time=NOW + 5_000)
    said = read_in_all_ways(topics.records)
    assert (said["state"], said["at"]) == ("queued", NOW + 5_000)


def test_an_id_that_comes_again_after_its_queue_was_settled_waits() -> None:
    topics = Topics()
    projection = Projection()
    projection.read([topics.sent("1"), topics.commit(1)])
    projection.sweep()
    projection.read([topics.sent("1", time=NOW + 5_000)])
    projection.sweep()
    assert NAMES[projection.row("1").state] == "queued"


def test_an_id_that_comes_again_and_is_settled_without_a_record_was_passed_over() -> None:
    topics = Topics()
    topics.sent("1")
    topics.over("1", ended=NOW + 10, unique_for_ms=1_000)
    topics.sent("1", time=NOW + 5_000)
    topics.commit(2)
    said = read_in_all_ways(topics.records)
    assert (said["state"], said["at"]) == ("completed", NOW + 10)


def test_the_second_life_of_an_id_counts_by_its_own_records() -> None:
    topics = Topics()
    topics.sent("1")
    topics.over("1", State.COMPLETED, run=3)
    topics.sent("1", time=NOW + 5_000)
    topics.over("1", State.CANCELLED, time=NOW + 5_000, ended=NOW + 5_001)
    assert read_in_all_ways(topics.records)["state"] == "cancelled"


@pytest.mark.parametrize("parents", [("a", "b"), ("b", "a")])
def test_of_several_parents_it_is_the_same_one_in_every_order(parents: tuple[str, str]) -> None:
    topics = Topics()
    topics.sent("1", parent=parents[0])
    topics.entry("1", State.RUNNING, parent=parents[1])
    assert read_in_all_ways(topics.records)["parent"] == "b"


# Lives as they can be: taken over or not, ended with a record or without, and come again.
ends = st.sampled_from([State.COMPLETED, State.CANCELLED, State.EXPIRED, None])
lives = st.lists(
    st.tuples(
        st.integers(1, 2),  # copies in the queue
        st.lists(st.sampled_from([State.RETRYING, State.SLEEPING, State.RUNNING]), max_size=3),
        ends,
        st.booleans(),  # it is over
        st.sampled_from([5, 5_000]),  # the next one is sent so long after
    ),
    min_size=1,
    max_size=3,
)


@settings(max_examples=150, deadline=None)
@given(
    lives=lives, orders=st.lists(st.lists(st.integers(0, 5), max_size=30), min_size=3, max_size=3)
)
def test_every_life_is_told_the_same_in_every_order(lives: list, orders: list[list[int]]) -> None:
    # given an id and what became of it
    topics, time, offset = Topics(), NOW, 0
    for copies, entries, end, is_over, later in lives:
        for _ in range(copies):
            topics.sent("1", time=time)
            offset += 1
        for run, state in enumerate(entries):
            topics.entry("1", state, time=time, run=run, due=time + 9)
        if is_over:
            if end is not None:
                topics.over("1", end, time=time, run=len(entries), ended=time + 1)
            if entries:
                topics.entry("1", None, time=time)
            topics.commit(offset)
        time += later
        if not is_over:
            break
    # when it is read in several orders
    said = []
    for order in orders:
        projection = Projection()
        for record in interleaved(topics.records, order):
            projection.read([record])
        projection.sweep()
        projection.sweep()
        said.append([shown(row) for row in projection.rows.values()])
        assert projection.counted() == projection.recount()
        projection.db.close()
    # then all say the same
    assert said[0] == said[1] == said[2]
