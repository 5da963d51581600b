"""What an audit says of single partitions, record by record."""

from __future__ import annotations

from pathlib import Path

import orjson
import pytest
from written_topics import DAY, LEDGER, NAMES, NOW, QUEUE, WrittenTopics, told

from streams.audit import fault as f
from streams.audit.accepted import Accepted
from streams.audit.checkpoint import Checkpoint
from streams.audit.look import PART
from streams.errors import SettingsError
from streams.jobs.identity import JobKey
from streams.jobs.states import State
from streams.testing.audited import MemoryTopics
from streams.wire.letters import letter_key
from streams.wire.partition import partition_of
from streams.wire.state import REPLACED
from streams.worker.ports import Append
from streams.worker.settlement import epoch_headers


def test_what_is_above_the_commit_is_pending():
    topics = WrittenTopics()
    topics.enqueue("a")
    topics.enqueue("b")
    topics.commit(0)
    report = topics.audit()
    assert report.faults == []
    assert report.of_queue("q").pending == {"queued": 2}


def test_what_is_below_it_and_nowhere_is_lost_and_stays_so():
    topics = WrittenTopics()
    topics.enqueue("a")
    job = topics.enqueue("b")
    topics.settle(job)
    topics.commit(2)
    with Checkpoint(None, "") as checkpoint:
        for _ in range(2):
            report = topics.audit(checkpoint)
            assert told(report) == [(f.NOWHERE, "a")]
            assert report.of_queue("q").unaccounted == 1
            assert report.of_queue("q").completed == 1


def test_copies_are_no_loss_also_of_what_an_earlier_audit_has_counted():
    topics = WrittenTopics()
    job = topics.enqueue("a")
    topics.settle(job)
    topics.commit(1)
    with Checkpoint(None, "") as checkpoint:
        assert topics.audit(checkpoint).faults == []
        # when copies come: the same record, another time within unique_for, and an older one
        for time in (NOW, NOW + 1_000, NOW - 1_000):
            topics.enqueue("a", time)
        topics.commit(4)
        for report in (topics.audit(checkpoint), topics.audit()):
            assert report.faults == []
            tally = report.of_queue("q")
            assert (tally.accepted, tally.completed, tally.duplicates) == (1, 1, 3)


def test_the_same_id_again_after_that_is_another_job():
    topics = WrittenTopics()
    topics.settle(topics.enqueue("a"))
    topics.enqueue("a", NOW + 2 * DAY)
    topics.commit(2)
    assert told(topics.audit()) == [(f.NOWHERE, "a")]


@pytest.mark.parametrize("has_checkpoint", [False, True])
@pytest.mark.parametrize("part", [PART, 1])
def test_one_that_comes_in_the_place_of_a_dead_one_is_no_copy_of_it(
    has_checkpoint: bool, part: int
):
    topics = WrittenTopics()
    job = topics.enqueue("a")
    with Checkpoint(None, "") as checkpoint:
        topics.settle(job, state=State.DISCARDED, reason=REPLACED)
        topics.commit(1)
        if has_checkpoint:
            assert topics.audit(checkpoint).faults == []
        # given that it is taken, and that a copy of it and one without that option come
        topics.enqueue("a", NOW + 1, replaces_dead=True)
        topics.enqueue("a", NOW + 1, replaces_dead=True)
        topics.enqueue("a", NOW + 2)
        assert topics.audit(part=part).of_queue("q").unaccounted == 0
        topics.commit(4)
        report = topics.audit(checkpoint, part=part)
        assert told(report) == [(f.NOWHERE, "a")]
        # when it is on record, also if compaction has taken the first end
        topics.settle(job, NOW + 1)
        assert topics.audit(checkpoint, part=part).faults == []
        topics.compact(LEDGER, 0)
        report = topics.audit(checkpoint, part=part)
        assert report.faults == []
        tally = report.of_queue("q")
        assert (tally.accepted, tally.duplicates) == (2, 2)


def test_what_an_owner_wrote_after_its_time_says_nothing():
    topics = WrittenTopics()
    topics.log.write(Append(LEDGER, 0, b"#at-work", b"w", epoch_headers(2)))
    topics.settle(topics.enqueue("a"), epoch=1)
    topics.commit(1)
    assert told(topics.audit()) == [(f.NOWHERE, "a")]


def test_a_record_that_is_written_again_as_it_was_is_no_second_end():
    topics = WrittenTopics()
    job = topics.enqueue("a")
    topics.settle(job)
    topics.commit(1)
    with Checkpoint(None, "") as checkpoint:
        topics.audit(checkpoint)
        topics.settle(job, ended=NOW, epoch=2)
        topics.enqueue("a")
        report = topics.audit(checkpoint)
        assert report.faults == []
        assert (report.of_queue("q").completed, report.of_queue("q").accepted) == (1, 1)


def test_what_completes_without_a_record_is_counted_by_its_name():
    topics = WrittenTopics()
    topics.enqueue("a")
    job = topics.enqueue("b")
    topics.open(job)
    topics.close(job)
    topics.commit(2)
    report = topics.audit(unrecorded=frozenset({"job"}))
    assert report.faults == []
    assert report.of_queue("q").unrecorded == 2
    assert len(topics.audit().faults) == 2


def test_a_misplaced_record_is_to_be_found_where_it_belongs():
    topics = WrittenTopics(partitions=2)
    right = partition_of(b"job:1", 2)
    topics.enqueue("a", partition=1 - right, key="job:1")
    topics.commit(1, 1 - right)
    assert told(topics.audit()) == [(f.NOT_FORWARDED, "a")]
    topics.enqueue("a", partition=right, key="job:1")
    report = topics.audit()
    assert report.faults == []
    tally = report.of_queue("q")
    assert (tally.accepted, tally.forwarded, tally.pending) == (1, 1, {"queued": 1})


def test_what_is_no_job_needs_its_letter_which_may_be_resolved():
    topics = WrittenTopics()
    topics.log.write(Append(QUEUE, 0, None, b"?"))
    topics.commit(1)
    assert [fault.why for fault in topics.audit().faults] == [f.NO_LETTER_OF_BYTES]
    topics.log.write(Append(NAMES.dead, 0, f"{QUEUE}/0/0".encode(), None))
    report = topics.audit()
    assert report.faults == []
    assert report.of_queue("q").undecodable == 1


def test_a_dead_job_needs_its_letter():
    topics = WrittenTopics()
    job = topics.enqueue("a")
    topics.open(job, State.DEAD)
    topics.commit(1)
    assert told(topics.audit()) == [(f.NO_LETTER, "a")]
    topics.log.write(Append(NAMES.dead, 0, letter_key(job, "q", 0), b"letter"))
    report = topics.audit()
    assert report.faults == []
    assert report.of_queue("q").dead == 1
    # when somebody removes it, that is told once it can't be that the job is just discarded
    topics.log.write(Append(NAMES.dead, 0, letter_key(job, "q", 0), None))
    assert topics.audit().faults == []
    topics.clock.set(NOW + 10 * 60_000)
    assert told(topics.audit()) == [(f.NO_LETTER, "a")]


def test_what_is_trimmed_by_age_is_no_loss():
    topics = WrittenTopics()
    old, new = topics.enqueue("old"), topics.enqueue("new")
    topics.settle(old)
    topics.commit(2)
    topics.clock.set(NOW + 4 * DAY)
    topics.settle(new)
    with Checkpoint(None, "") as checkpoint:
        assert topics.audit(checkpoint).of_queue("q").completed == 2
        topics.log.starts[(LEDGER, 0)] = 1
        full, since = topics.audit(), topics.audit(checkpoint)
        assert full.faults == since.faults == []
        assert (full.of_queue("q").forgotten, since.of_queue("q").forgotten) == (1, 0)
        topics.log.starts[(QUEUE, 0)] = 2
        tally = topics.audit().of_queue("q")
        assert (tally.accepted, tally.completed, tally.unseen) == (1, 1, 2)


def test_state_of_what_was_never_enqueued_istold():
    topics = WrittenTopics()
    topics.settle(JobKey(name="job", ordering_key=None, id="ghost"))
    assert told(topics.audit()) == [(f.NEVER_ENQUEUED, "ghost")]


def test_a_topic_that_was_made_anew_istold():
    topics = WrittenTopics()
    topics.enqueue("a")
    with Checkpoint(None, "") as checkpoint:
        topics.audit(checkpoint)
        topics.log.topics[(QUEUE, 0)].clear()
        assert [fault.why for fault in topics.audit(checkpoint).faults] == [f.MADE_ANEW]


def test_a_checkpoint_is_of_one_prefix(tmp_path: Path):
    path = tmp_path / "checkpoint"
    with Checkpoint(path, "a."):
        pass
    with pytest.raises(SettingsError, match="name another file"):
        Checkpoint(path, "b.")
    (tmp_path / "other").write_text("no database, but long enough to be taken for one" * 100)
    with pytest.raises(SettingsError, match="is no checkpoint"):
        Checkpoint(tmp_path / "other", "a.")


def test_ids_that_were_told_are_found_by_name_too():
    accepted = Accepted(["a\n", "\n", '{"id": "b", "name": "job"}', '{"id": "b", "name": "other"}'])
    assert accepted.count == 3
    for id_ in ("a", "b"):
        accepted.see(JobKey(name="job", ordering_key=None, id=id_).encode())
    assert [(fault.name, fault.id) for fault in accepted.faults()] == [("other", "b")]
    with pytest.raises(SettingsError, match="neither an id nor JSON"):
        Accepted(['{"name": "job"}'])


def test_what_can_not_be_read_istold():
    topics = WrittenTopics()
    job = topics.enqueue("a")
    topics.commit(1)
    topics.log.write(Append(LEDGER, 0, job.encode(), orjson.dumps({"state": "completed"})))
    assert {fault.why for fault in topics.audit().faults} == {f.NOT_READABLE, f.NOWHERE}


def test_what_a_frozen_owner_wrote_late_and_the_next_one_took_back_is_not_settled_twice():
    topics = WrittenTopics()
    job = topics.enqueue("a")
    topics.settle(job, run=7)  # before the next owner said that it is there
    topics.log.write(Append(LEDGER, 0, job.encode(), None, epoch_headers(2)))
    topics.settle(job, epoch=2)
    topics.commit(1)
    report = topics.audit()
    assert report.faults == []
    assert report.of_queue("q").completed == 1


def test_what_its_own_owner_did_not_take_back_was_removed():
    topics = WrittenTopics()
    job = topics.enqueue("a")
    topics.settle(job)
    topics.log.write(Append(LEDGER, 0, job.encode(), None))
    topics.commit(1)
    assert told(topics.audit()) == [(f.TAKEN_FROM_LEDGER, "a")]


def test_a_copy_from_a_clock_that_is_ahead_is_a_copy_whatever_it_says():
    topics = WrittenTopics()
    job = topics.enqueue("a")
    topics.enqueue("a", NOW + 300_000)
    topics.settle(job, ended=NOW + 100, unique_for_ms=60_000)
    topics.commit(2)
    report = topics.audit(unique_for={"job": 60_000})
    assert report.faults == []
    assert report.of_queue("q").duplicates == 1


def test_of_the_older_ledger_it_reads_no_more_than_it_has_to(monkeypatch: pytest.MonkeyPatch):
    read: list[tuple[str, int]] = []
    whole = MemoryTopics.read

    def note(self: MemoryTopics, topic: str, partition: int, start: int, end: int) -> object:
        read.append((topic, start))
        return whole(self, topic, partition, start, end)

    monkeypatch.setattr(MemoryTopics, "read", note)
    topics = WrittenTopics()
    for n in range(10):  # one an hour
        topics.clock.set(NOW + n * DAY // 24)
        topics.settle(topics.enqueue(f"j{n}"))
    topics.commit(10)
    with Checkpoint(None, "") as checkpoint:
        topics.audit(checkpoint)
        # given one that ended in the same millisecond as the last one before, and was told later
        late = topics.enqueue("late")
        topics.settle(late, ended=NOW + 9 * DAY // 24)
        topics.commit(11)
        read.clear()
        report = topics.audit(checkpoint)
        assert (report.faults, report.of_queue("q").completed) == ([], 11)
        assert [start for topic, start in read if topic == LEDGER] == [10, 9]
        # given a copy, of which anything may be on record
        topics.enqueue("j3")
        topics.commit(12)
        read.clear()
        assert topics.audit(checkpoint).of_queue("q").duplicates == 1
        assert [start for topic, start in read if topic == LEDGER] == [11, 0]
