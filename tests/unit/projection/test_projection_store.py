"""The file: rows, counts and offsets go in together, or not at all."""

from __future__ import annotations

import random
import sqlite3
from unittest.mock import patch

import pytest
from told import NAMES, NOW, Projection, Topics, dump, shown

from streams.jobs.states import State
from streams.projection import store as stores
from streams.projection.letters import letter_counts, listed_letters
from streams.projection.numbers import counts, ended, failures, oldest_waiting
from streams.projection.states import NAMES as STATES
from streams.wire.letters import undecodable_letter


def busy(topics: Topics, rng: random.Random, number: int) -> None:
    """Much that happens to few jobs."""
    for _ in range(number):
        id_, name = str(rng.randrange(40)), rng.choice(["mail", "resize"])
        queue, partition = rng.choice(["default", "bulk"]), int(id_) % 2
        of = {"name": name, "queue": queue, "partition": partition}
        run = rng.randrange(5)
        match rng.randrange(5):
            case 0:
                topics.sent(id_, **of, time=NOW + rng.randrange(3))
            case 1:
                state = rng.choice([State.RETRYING, State.DEAD, State.RUNNING, None])
                topics.entry(id_, state, **of, run=run, failure=(rng.choice("AB"), "m"))
            case 2:
                topics.over(id_, rng.choice([State.COMPLETED, State.EXPIRED, None]), **of, run=run)
            case 3:
                topics.commit(rng.randrange(20), queue=queue, partition=partition)
            case 4:
                topics.entry(id_, State.SLEEPING, **of, run=run, epoch=rng.randrange(1, 3))


@pytest.mark.parametrize("seed", range(10))
def test_counts_are_what_a_recount_gives_whatever_happens(seed: int) -> None:
    rng, topics, projection = random.Random(seed), Topics(), Projection()
    busy(topics, rng, 600)
    left = topics.records
    while left:
        some = rng.choice([1, 7, 150])
        projection.read(left[:some])
        left = left[some:]
        if rng.random() < 0.2:
            projection.sweep()
        assert projection.counted() == projection.recount()


def test_what_is_in_the_file_does_not_depend_on_how_much_is_read_at_once() -> None:
    topics = Topics()
    busy(topics, random.Random(1), 700)
    one, all_ = Projection(), Projection()
    for record in topics.records:
        one.read([record])
    all_.read(topics.records)
    # but for the numbers of names and errors
    assert {i: shown(row) for i, row in one.rows.items()} == {
        i: shown(row) for i, row in all_.rows.items()
    }
    assert sorted(map(str, counts(one.db))) == sorted(map(str, counts(all_.db)))
    assert one.store.places() == all_.store.places()
    assert one.store.commits == all_.store.commits


@pytest.mark.parametrize("fails_at", ["write_rows", "keep_letters", "_keep_places"])
def test_a_batch_that_fails_leaves_nothing_and_can_be_written_again(fails_at: str) -> None:
    topics, projection = Topics(), Projection()
    projection.read([topics.sent("1")])
    before = dump(projection.db)
    later = [topics.sent("2", name="new"), topics.entry("1", State.DEAD, failure=("New", "m"))]
    later.append(topics.commit(1))

    # when the disk is full
    failure = sqlite3.OperationalError("database or disk is full")
    where = stores.Store if fails_at.startswith("_") else stores
    with (
        patch.object(where, fails_at, side_effect=failure),
        pytest.raises(sqlite3.OperationalError),
    ):
        projection.read(later)

    # then the file is as it was, and the store knows no more than that
    assert dump(projection.db) == before
    projection._reader = Projection()._reader
    projection.read([topics.records[0], *later])
    other = Projection()
    other.read([topics.records[0]])
    other.read(later)
    assert dump(projection.db) == dump(other.db)


def test_it_goes_on_with_what_the_file_has() -> None:
    topics, projection = Topics(), Projection()
    projection.read([topics.sent("1"), topics.entry("1", State.DEAD, failure=("A", "m"))])
    projection.restart()
    projection.read([topics.sent("2"), topics.entry("2", State.DEAD, failure=("A", "m"))])
    first, second = projection.row("1"), projection.row("2")
    assert (first.kind, first.error) == (second.kind, second.error)
    assert first.n != second.n
    assert projection.store.places()[NAMES.queue("default"), 0].position == 2


def test_a_removal_of_what_was_never_seen_makes_no_row() -> None:
    topics, projection = Topics(), Projection()
    projection.read([topics.entry("1", None), topics.over("2", None)])
    assert projection.rows == {}


def test_ends_are_counted_once_by_ten_seconds_and_error() -> None:
    topics, projection = Topics(), Projection()
    slot = NOW // 10_000 * 10_000
    failed = {"failure": ("KeyError", "m"), "attempts": 1}
    projection.read(
        [
            topics.entry("1", State.RETRYING, **failed, at=slot + 1),
            topics.entry("1", State.RETRYING, **failed, at=slot + 2),  # written once more
            topics.entry("1", State.RETRYING, **failed, run=1, at=slot + 10_001),
            topics.entry("1", State.DEAD, **failed, run=2, died=slot + 10_002),
            topics.over("2", ended=slot + 3),
            topics.over("3", ended=slot + 4),
            topics.entry("4", State.SLEEPING, at=slot + 5),
        ]
    )
    found = {(e.at - slot, e.state, e.error): e.number for e in ended(projection.db, slot)}
    assert found == {
        (0, "retrying", "KeyError"): 1,
        (0, "completed", None): 2,
        (10_000, "retrying", "KeyError"): 1,
        (10_000, "dead", "KeyError"): 1,
    }
    assert {e.at for e in ended(projection.db, slot + 10_000)} == {slot + 10_000}
    # for a curve over a longer time they are put together
    of_twenty = ended(projection.db, slot, every_ms=20_000)
    assert {(e.at - slot, e.state): e.number for e in of_twenty} == {
        (0, "completed"): 2,
        (0, "retrying"): 2,
        (0, "dead"): 1,
    }
    assert failures(projection.db, slot) == {"default": 1}
    assert failures(projection.db, slot + 20_000) == {}


def test_numbers_are_by_queue_name_and_state() -> None:
    topics, projection = Topics(), Projection()
    projection.read(
        [
            topics.sent("1", time=NOW + 7),
            topics.sent("2", time=NOW + 5),
            topics.sent("3", time=NOW + 1, due=NOW + 99),
            topics.sent("4", time=NOW + 9, queue="bulk"),
            topics.entry("5", State.PARKED, at=NOW + 2, queue="bulk", name="resize"),
        ]
    )
    assert {(c.queue, c.name, c.state): c.number for c in counts(projection.db)} == {
        ("default", "mail", "queued"): 2,
        ("default", "mail", "scheduled"): 1,
        ("bulk", "mail", "queued"): 1,
        ("bulk", "resize", "parked"): 1,
    }
    assert oldest_waiting(projection.db) == {"default": NOW + 5, "bulk": NOW}


def test_a_sweep_changes_what_is_before_the_commit_of_its_own_partition() -> None:
    topics, projection = Topics(), Projection()
    for partition in (0, 1):
        for queue in ("default", "bulk"):
            topics.sent(f"{queue}{partition}", queue=queue, partition=partition)
            topics.entry(f"{queue}{partition}-e", State.RUNNING, queue=queue, partition=partition)
            topics.entry(f"{queue}{partition}-e", None, queue=queue, partition=partition)
    topics.commit(1, queue="bulk", partition=1)
    projection.read(topics.records)
    assert {row.id for row in projection.sweep()} == {"bulk1", "bulk1-e"}
    assert projection.sweep() == []
    states = {identity.id: STATES[row.state] for identity, row in projection.rows.items()}
    assert [id_ for id_, state in states.items() if state == "untold"] == ["bulk1", "bulk1-e"]


def test_a_sweep_takes_no_more_than_it_may_and_the_next_one_goes_on() -> None:
    topics, projection = Topics(), Projection()
    projection.read([*(topics.sent(str(n)) for n in range(10)), topics.commit(10)])
    commits = dict(projection.store.commits)
    sizes = [len(projection.store.sweep(commits, limit=4)) for _ in range(4)]
    assert sizes == [4, 4, 2, 0]
    assert projection.counted() == projection.recount()


def test_letters_without_a_job_are_counted_and_listed_until_they_are_resolved() -> None:
    topics, projection = Topics(), Projection()
    letters = []
    for n in range(5):
        queue = "bulk" if n == 4 else "default"
        strange = topics.put(NAMES.queue(queue), b"k", b"?")
        key, value, headers = undecodable_letter(strange, queue, f"why {n}", NOW + n // 2)
        letters.append((key, value, headers))
        topics.put(NAMES.dead, key, value, headers)
    projection.read(topics.records)
    assert sorted(letter_counts(projection.db)) == [
        ("bulk", "UndecodableRecord", 1),
        ("default", "UndecodableRecord", 4),
    ]
    # page by page, the latest first
    told, before = [], None
    while page := listed_letters(projection.db, limit=2, before=before):
        told += [each.letter.message for each in page]
        before = (page[-1].letter.at, page[-1].n)
    assert told == ["why 4", "why 3", "why 2", "why 1", "why 0"]
    (only,) = listed_letters(projection.db, queue="bulk", error="UndecodableRecord", limit=9)
    assert only.letter.offset == 0
    assert listed_letters(projection.db, error="Other", limit=9) == []
    # a letter that comes again is one; one that is resolved is none
    projection.read([topics.put(NAMES.dead, *letters[0])])
    projection.read([topics.put(NAMES.dead, letters[1][0], None)])
    assert ("default", "UndecodableRecord", 3) in letter_counts(projection.db)
