"""Batches: what records say, put together."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
from told import NAMES, NOW, ROLES, Projection, Topics

from streams.jobs.states import State
from streams.projection.batch import Batch, Identity, Reader
from streams.wire.letters import letter_of, undecodable_letter
from streams.wire.partition import partition_of
from streams.wire.state import decode_open


def read(topics: Topics) -> Batch:
    batch = Batch()
    Reader(ROLES, {}).read(topics.records, batch)
    return batch


def test_what_was_read_before_is_passed_over() -> None:
    topics = Topics()
    first, second = topics.sent("1"), topics.sent("2")
    projection = Projection()
    projection.read([first])
    projection.restart()
    assert [row.id for row in projection.read([first, second])] == ["2"]


def test_the_same_id_in_another_queue_under_another_name_or_key_is_another_job() -> None:
    topics = Topics()
    topics.sent("1")
    topics.sent("1", queue="bulk")
    topics.sent("1", name="resize")
    topics.sent("1", key="mail:1")
    topics.over("1", queue="bulk")
    assert set(read(topics).told) == {
        Identity("default", "mail", None, "1"),
        Identity("bulk", "mail", None, "1"),
        Identity("default", "resize", None, "1"),
        Identity("default", "mail", "mail:1", "1"),
    }


def test_what_a_foreign_partitioner_put_elsewhere_is_known_by_its_copy_alone() -> None:
    # given a job on a partition where its key is not, and as its worker sends it on
    topics = Topics()
    place = partition_of(b"mail:1", 4)
    topics.sent("1", key="mail:1", partition=(place + 1) % 4)
    topics.sent("1", key="mail:1", partition=place)
    topics.sent("2", partition=(place + 1) % 4)  # without a key it may be anywhere

    batch = Batch()
    Reader(ROLES, {}, {NAMES.queue("default"): 4}).read(topics.records, batch)

    assert {identity.id: partition for identity, (partition, _) in batch.told.items()} == {
        "1": place,
        "2": (place + 1) % 4,
    }
    assert len(batch.told[Identity("default", "mail", "mail:1", "1")][1]) == 1


def test_what_can_not_be_read_is_counted_and_in_no_row() -> None:
    topics = Topics()
    topics.put(NAMES.queue("default"), b"k", b"no headers")
    topics.put(NAMES.queue("default"), b"k", None)
    topics.put(NAMES.retry("default"), b"not a key", b"{}")
    topics.put(NAMES.retry("default"), b'["mail",null,"1"]', b"{}")
    topics.put(NAMES.ledger("default"), b'["mail",null,"1"]', b'{"state":"none"}')
    topics.put(NAMES.ledger("default"), None, b"{}")
    topics.put(NAMES.dead, b"t/0/1", b"x", [("dead-offset", b"many")])
    batch = read(topics)
    assert batch.told == {}
    assert batch.letters == {}
    assert batch.unreadable == {
        NAMES.queue("default"): 2,
        NAMES.retry("default"): 2,
        NAMES.ledger("default"): 2,
        NAMES.dead: 1,
    }
    # they are read, all the same
    assert batch.places[NAMES.queue("default"), 0] == (2, 0)


@pytest.mark.parametrize(
    "number", ["9223372036854775808", "-9223372036854775809", '"1"', "1.5", "true"]
)
@pytest.mark.parametrize("field", ["time", "generation", "run", "attempts", "ended"])
def test_a_number_that_can_not_be_kept_is_not_taken(field: str, number: str) -> None:
    """Whoever writes to a topic may write anything: one record must not end a projection."""
    topics, projection = Topics(), Projection()
    right = topics.over("1", time=NOW, ended=NOW + 1)
    value = re.sub(
        rb'"%s":\d+' % field.encode(),
        b'"%s":%s' % (field.encode(), number.encode()),
        right.value or b"",
    )
    assert value != right.value
    wrong = replace(right, value=value)
    projection.read([wrong, topics.sent("2")])
    assert [identity.id for identity in projection.rows] == ["2"]


def test_a_commit_is_noted_and_other_words_of_the_engine_are_not_jobs() -> None:
    topics = Topics()
    topics.commit(7)
    topics.commit(9)
    topics.put(NAMES.retry("default"), b"#committed", b"nonsense")
    topics.put(NAMES.retry("default"), b"#epoch", b"3")
    topics.put(NAMES.retry("default"), b"#work", None)
    batch = read(topics)
    assert batch.commits == {("default", 0): 9}
    assert not batch.told
    assert not batch.unreadable


def test_places_are_how_far_each_partition_was_read_and_whose_it_is() -> None:
    topics = Topics()
    topics.sent("1", partition=3)
    topics.over("1", epoch=4, partition=1)
    topics.over("2", epoch=2, partition=1)
    assert read(topics).places == {
        (NAMES.queue("default"), 3): (1, 0),
        (NAMES.ledger("default"), 1): (2, 4),
    }


def test_letters_of_jobs_are_left_to_their_state_and_others_are_kept() -> None:
    topics = Topics()
    entry = topics.entry("1", State.DEAD, died=NOW)
    assert entry.key is not None and entry.value is not None
    topics.put(NAMES.dead, *letter_of(decode_open(entry.key, entry.value), "default"))
    strange = topics.put(NAMES.queue("bulk"), b"k", b"?", partition=2)
    key, value, headers = undecodable_letter(strange, "bulk", "no headers", NOW + 5)
    topics.put(NAMES.dead, key, value, headers)
    (letter,) = read(topics).letters.values()
    assert letter is not None
    assert letter._asdict() == {
        "queue": "bulk",
        "error": "UndecodableRecord",
        "message": "no headers",
        "topic": NAMES.queue("bulk"),
        "partition": 2,
        "offset": 0,
        "at": NOW + 5,
    }
    # a tombstone takes it back
    topics.put(NAMES.dead, key, None)
    assert read(topics).letters == {key: None}
