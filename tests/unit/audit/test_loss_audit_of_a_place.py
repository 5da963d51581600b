"""What an audit says of single partitions, record by record."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson
import pytest

from streams.audit import fault as f
from streams.audit.accepted import Accepted
from streams.audit.audit import Report
from streams.audit.checkpoint import Checkpoint
from streams.audit.rules import Rules
from streams.errors import SettingsError
from streams.jobs.identity import JobKey
from streams.jobs.states import State
from streams.testing.audited import audit_memory
from streams.testing.memory import MemoryClock, MemoryLog
from streams.wire.envelope import Envelope, encode
from streams.wire.letters import letter_key
from streams.wire.partition import partition_of
from streams.wire.state import LedgerRecord, OpenEntry, encode_ledger, encode_open
from streams.wire.topics import TopicNames
from streams.worker.ports import Append
from streams.worker.settlement import epoch_headers
from streams.worker.tables import COMMITTED

NAMES = TopicNames("")
QUEUE, RETRY, LEDGER = NAMES.queue("q"), NAMES.retry("q"), NAMES.ledger("q")
NOW = 1_700_000_000_000
DAY = 24 * 60 * 60 * 1000


class _Topics:
    """Topics that a test writes as clients and workers do."""

    def __init__(self, partitions: int = 1) -> None:
        self.clock = MemoryClock(NOW)
        self.log = MemoryLog(self.clock, partitions)

    def enqueue(
        self, id: str, time: int = NOW, *, partition: int = 0, key: str | None = None
    ) -> JobKey:
        envelope = Envelope(id=id, name="job", source="s", time=time, payload=b"{}", key=key)
        key_, value, headers = encode(envelope)
        self.log.write(Append(QUEUE, partition, key_, value, headers))
        return JobKey(name="job", ordering_key=key, id=id)

    def commit(self, offset: int, partition: int = 0) -> None:
        self.log.write(Append(RETRY, partition, COMMITTED, b"%d" % offset, epoch_headers(1)))

    def settle(self, job: JobKey, time: int = NOW, *, epoch: int = 1, **said: Any) -> None:
        record = LedgerRecord(
            job=job,
            state=State.COMPLETED,
            time=time,
            generation=0,
            run=0,
            attempts=1,
            ended=self.clock.now(),
        )
        key, value = encode_ledger(replace(record, **said))
        self.log.write(Append(LEDGER, said.pop("at", 0), key, value, epoch_headers(epoch)))

    def open(self, job: JobKey, state: State = State.PARKED, **said: Any) -> None:
        entry = OpenEntry(
            job=job,
            state=state,
            time=NOW,
            generation=0,
            run=0,
            attempts=0,
            arrival=0,
            due=None,
            blocks=False,
            record_key=None,
            headers=(),
            payload=b"{}",
        )
        key, value = encode_open(replace(entry, **said))
        self.log.write(Append(RETRY, 0, key, value, epoch_headers(1)))

    def close(self, job: JobKey) -> None:
        self.log.write(Append(RETRY, 0, job.encode(), None, epoch_headers(1)))

    def audit(self, checkpoint: Checkpoint | None = None, **rules: Any) -> Report:
        self.clock.set(self.clock.now() + 1)
        return audit_memory(
            self.log,
            NAMES,
            ["q"],
            rules=Rules(now=self.clock.now(), **rules),
            checkpoint=checkpoint,
        )


def _told(report: Report) -> list[tuple[str, str]]:
    return [(fault.why, fault.job[2]) for fault in report.faults]


def test_what_is_above_the_commit_is_pending():
    topics = _Topics()
    topics.enqueue("a")
    topics.enqueue("b")
    topics.commit(0)
    report = topics.audit()
    assert report.faults == []
    assert report.of_queue("q").pending == {"queued": 2}


def test_what_is_below_it_and_nowhere_is_lost_and_stays_so():
    topics = _Topics()
    topics.enqueue("a")
    job = topics.enqueue("b")
    topics.settle(job)
    topics.commit(2)
    with Checkpoint(None, "") as checkpoint:
        for _ in range(2):
            report = topics.audit(checkpoint)
            assert _told(report) == [(f.NOWHERE, "a")]
            assert report.of_queue("q").unaccounted == 1
            assert report.of_queue("q").completed == 1


def test_copies_are_no_loss_also_of_what_an_earlier_audit_has_counted():
    topics = _Topics()
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
    topics = _Topics()
    topics.settle(topics.enqueue("a"))
    topics.enqueue("a", NOW + 2 * DAY)
    topics.commit(2)
    assert _told(topics.audit()) == [(f.NOWHERE, "a")]


def test_what_an_owner_wrote_after_its_time_says_nothing():
    topics = _Topics()
    topics.log.write(Append(LEDGER, 0, b"#at-work", b"w", epoch_headers(2)))
    topics.settle(topics.enqueue("a"), epoch=1)
    topics.commit(1)
    assert _told(topics.audit()) == [(f.NOWHERE, "a")]


def test_a_record_that_is_written_again_as_it_was_is_no_second_end():
    topics = _Topics()
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
    topics = _Topics()
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
    topics = _Topics(partitions=2)
    right = partition_of(b"job:1", 2)
    topics.enqueue("a", partition=1 - right, key="job:1")
    topics.commit(1, 1 - right)
    assert _told(topics.audit()) == [(f.NOT_FORWARDED, "a")]
    topics.enqueue("a", partition=right, key="job:1")
    report = topics.audit()
    assert report.faults == []
    tally = report.of_queue("q")
    assert (tally.accepted, tally.forwarded, tally.pending) == (1, 1, {"queued": 1})


def test_what_is_no_job_needs_its_letter_which_may_be_resolved():
    topics = _Topics()
    topics.log.write(Append(QUEUE, 0, None, b"?"))
    topics.commit(1)
    assert [fault.why for fault in topics.audit().faults] == [f.NO_LETTER_OF_BYTES]
    topics.log.write(Append(NAMES.dead, 0, f"{QUEUE}/0/0".encode(), None))
    report = topics.audit()
    assert report.faults == []
    assert report.of_queue("q").undecodable == 1


def test_a_dead_job_needs_its_letter():
    topics = _Topics()
    job = topics.enqueue("a")
    topics.open(job, State.DEAD)
    topics.commit(1)
    assert _told(topics.audit()) == [(f.NO_LETTER, "a")]
    topics.log.write(Append(NAMES.dead, 0, letter_key(job, "q", 0), b"letter"))
    report = topics.audit()
    assert report.faults == []
    assert report.of_queue("q").dead == 1
    # when somebody removes it, that is told once it can't be that the job is just discarded
    topics.log.write(Append(NAMES.dead, 0, letter_key(job, "q", 0), None))
    assert topics.audit().faults == []
    topics.clock.set(NOW + 10 * 60_000)
    assert _told(topics.audit()) == [(f.NO_LETTER, "a")]


def test_what_is_trimmed_by_age_is_no_loss():
    topics = _Topics()
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


def test_state_of_what_was_never_enqueued_is_told():
    topics = _Topics()
    topics.settle(JobKey(name="job", ordering_key=None, id="ghost"))
    assert _told(topics.audit()) == [(f.NEVER_ENQUEUED, "ghost")]


def test_a_topic_that_was_made_anew_is_told():
    topics = _Topics()
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


def test_what_can_not_be_read_is_told():
    topics = _Topics()
    job = topics.enqueue("a")
    topics.commit(1)
    topics.log.write(Append(LEDGER, 0, job.encode(), orjson.dumps({"state": "completed"})))
    assert {fault.why for fault in topics.audit().faults} == {f.NOT_READABLE, f.NOWHERE}


def test_what_a_frozen_owner_wrote_late_and_the_next_one_took_back_is_not_settled_twice():
    topics = _Topics()
    job = topics.enqueue("a")
    topics.settle(job, run=7)  # before the next owner said that it is there
    topics.log.write(Append(LEDGER, 0, job.encode(), None, epoch_headers(2)))
    topics.settle(job, epoch=2)
    topics.commit(1)
    report = topics.audit()
    assert report.faults == []
    assert report.of_queue("q").completed == 1


def test_what_its_own_owner_did_not_take_back_was_removed():
    topics = _Topics()
    job = topics.enqueue("a")
    topics.settle(job)
    topics.log.write(Append(LEDGER, 0, job.encode(), None))
    topics.commit(1)
    assert _told(topics.audit()) == [(f.TAKEN_FROM_LEDGER, "a")]


def test_a_copy_from_a_clock_that_is_ahead_is_a_copy_whatever_it_says():
    topics = _Topics()
    job = topics.enqueue("a")
    topics.enqueue("a", NOW + 300_000)
    topics.settle(job, ended=NOW + 100, unique_for_ms=60_000)
    topics.commit(2)
    report = topics.audit(unique_for={"job": 60_000})
    assert report.faults == []
    assert report.of_queue("q").duplicates == 1
