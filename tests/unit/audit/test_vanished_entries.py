"""What retention and DeleteRecords take from the topics of state leaves no tombstone."""

from __future__ import annotations

import pytest
from written_topics import DAY, LEDGER, NOW, QUEUE, RETRY, WrittenTopics, told

from streams.audit import fault as f
from streams.audit.audit import Report
from streams.audit.checkpoint import Checkpoint
from streams.jobs.identity import JobKey

HOUR = 60 * 60 * 1000


def _with_open_jobs(count: int = 3) -> tuple[WrittenTopics, list[JobKey]]:
    topics = WrittenTopics()
    jobs = [topics.enqueue(f"j{n}") for n in range(count)]
    for job in jobs:
        topics.open(job)
    topics.commit(count)
    return topics, jobs


def test_without_a_checkpoint_it_says_that_the_retry_topic_was_trimmed():
    # given that nothing else shows it: the queue was trimmed, as it is
    topics, _ = _with_open_jobs()
    topics.trim(QUEUE, 3)
    assert topics.audit().faults == []
    topics.trim(RETRY, 2)
    (fault,) = topics.audit().faults
    assert (fault.why, fault.queue, fault.partition) == (f.RETRY_TRIMMED, "q", 0)
    assert fault.detail == "offsets 0 to 1"


def test_with_a_checkpoint_it_names_the_jobs_that_went():
    topics, jobs = _with_open_jobs(5)
    with Checkpoint(None, "") as checkpoint:
        assert topics.audit(checkpoint).of_queue("q").pending == {"parked": 5}
        # given that one is open again, and one is over
        topics.open(jobs[0], run=1)
        topics.settle(jobs[1])
        topics.close(jobs[1])
        topics.trim(RETRY, 4)
        for _ in range(2):
            report = topics.audit(checkpoint)
            assert told(report) == [
                (f.ENTRY_GONE, "j2"),
                (f.ENTRY_GONE, "j3"),
                (f.RETRY_TRIMMED, ""),
            ]
            tally = report.of_queue("q")
            assert (tally.unaccounted, tally.completed, tally.waiting) == (2, 1, 2)


def test_who_takes_note_of_it_is_not_told_again():
    topics, jobs = _with_open_jobs()
    with Checkpoint(None, "") as checkpoint:
        topics.audit(checkpoint)
        topics.trim(RETRY, 2)
        topics.enqueue("lost")
        topics.commit(4)
        faults = topics.audit(checkpoint).faults
        assert len(faults) == 4
        assert topics.audit(checkpoint, acknowledges=True).faults == faults
        # when it goes on from there
        topics.settle(jobs[2])
        topics.close(jobs[2])
        report = topics.audit(checkpoint)
        assert report.faults == []
        tally = report.of_queue("q")
        assert (tally.accepted, tally.completed, tally.acknowledged) == (4, 1, 3)
        assert (tally.unaccounted, tally.missing) == (0, 0)
        topics.trim(RETRY, 3)
        assert [fault.detail for fault in topics.audit(checkpoint).faults] == ["offsets 2 to 2"]


def test_of_an_old_checkpoint_tombstones_may_be_gone_and_that_is_no_loss():
    topics, jobs = _with_open_jobs()
    with Checkpoint(None, "") as checkpoint:
        topics.audit(checkpoint)
        # given that one completed on record, one without any, and their topic was compacted
        topics.settle(jobs[0])
        for job in jobs[:2]:
            topics.close(job)
        for offset in (0, 1, 4, 5):
            topics.compact(RETRY, offset)
        topics.clock.set(NOW + 2 * DAY)
        report = topics.audit(checkpoint, unrecorded=frozenset({"job"}))
        assert report.faults == []
        tally = report.of_queue("q")
        assert (tally.completed, tally.unrecorded, tally.pending) == (1, 1, {"parked": 1})


def test_of_an_old_checkpoint_an_entry_that_nothing_explains_is_told():
    topics, jobs = _with_open_jobs()
    with Checkpoint(None, "") as checkpoint:
        topics.audit(checkpoint)
        topics.close(jobs[1])
        for offset in (1, 4):
            topics.compact(RETRY, offset)
        topics.clock.set(NOW + 2 * DAY)
        assert told(topics.audit(checkpoint)) == [(f.ENTRY_GONE, "j1")]
        # once the ledger could have been trimmed as well, nobody knows
        topics.clock.set(NOW + 6 * DAY)
        topics.trim(LEDGER, 0)
        assert told(topics.audit(checkpoint)) == [(f.ENTRY_GONE, "j1")]
        topics.settle(topics.enqueue("later", NOW + 6 * DAY))
        topics.trim(LEDGER, 1)
        report = topics.audit(checkpoint)
        assert f.ENTRY_GONE not in {why for why, _ in told(report)}
        assert report.of_queue("q").forgotten == 1


def test_what_was_open_and_is_recorded_as_another_job_of_its_id_is_no_loss():
    topics, jobs = _with_open_jobs(1)
    # given that it ended, and was enqueued again later, and compaction left the second end alone
    topics.settle(jobs[0])
    topics.close(jobs[0])
    topics.enqueue("j0", NOW + 2 * DAY)
    topics.clock.set(NOW + 2 * DAY)
    topics.settle(jobs[0], NOW + 2 * DAY)
    topics.compact(LEDGER, 0)
    topics.commit(2)
    report = topics.audit()
    assert report.faults == []
    assert (report.of_queue("q").completed, report.of_queue("q").forgotten) == (1, 1)


@pytest.mark.parametrize(("age", "is_told"), [(2 * DAY, True), (3 * DAY + HOUR, False)])
def test_the_ledger_is_trimmed_by_age_alone(age: int, is_told: bool):
    topics = WrittenTopics()
    with Checkpoint(None, "") as checkpoint:
        topics.settle(topics.enqueue("a"))
        topics.commit(1)
        assert topics.audit(checkpoint).faults == []
        topics.settle(topics.enqueue("b"))
        topics.commit(2)
        assert topics.audit(checkpoint).faults == []
        # when all of it is removed
        topics.clock.set(NOW + age)
        topics.trim(LEDGER, 2)
        reports: list[Report] = [topics.audit(checkpoint) for _ in range(2)]
        for report in reports:
            assert [fault.why for fault in report.faults] == [f.LEDGER_TRIMMED] * is_told
            assert report.of_queue("q").completed == 2


def test_many_checkpoints_know_how_old_the_beginning_of_the_ledger_is():
    topics = WrittenTopics()
    with Checkpoint(None, "") as checkpoint:
        for n in range(100):  # one an hour
            topics.clock.set(NOW + n * HOUR)
            topics.settle(topics.enqueue(f"j{n}", NOW + n * HOUR))
            topics.commit(n + 1)
            topics.trim(LEDGER, max(0, n - 73))  # what is older than three days
            assert topics.audit(checkpoint).faults == []
        assert len(checkpoint.since("q", 0).marks) < 80  # type: ignore[union-attr]
        topics.trim(LEDGER, 50)
        assert [fault.why for fault in topics.audit(checkpoint).faults] == [f.LEDGER_TRIMMED]


def test_it_says_the_same_of_what_it_reads_in_slices():
    topics, jobs = _with_open_jobs(9)
    with Checkpoint(None, "") as checkpoint:
        assert topics.audit(checkpoint, part=2).of_queue("q").pending == {"parked": 9}
        topics.settle(jobs[0])
        topics.close(jobs[0])
        topics.enqueue("j1")  # a copy
        topics.commit(10)
        topics.trim(RETRY, 4)
        whole, sliced = topics.audit(checkpoint), topics.audit(checkpoint, part=2)
        assert {fault.job[2] for fault in whole.faults} == {"j1", "j2", "j3", ""}
        assert sorted(told(sliced)) == sorted(told(whole))
        assert sliced.of_queue("q") == whole.of_queue("q")
