"""Topics of one queue that a test writes, record by record, for an audit."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from streams.audit.audit import Report
from streams.audit.checkpoint import Checkpoint
from streams.audit.look import PART
from streams.audit.rules import Rules
from streams.jobs.identity import JobKey
from streams.jobs.states import State
from streams.testing.audited import COMPACTED, audit_memory
from streams.testing.memory import MemoryClock, MemoryLog
from streams.wire.envelope import Envelope, JobOverrides, encode
from streams.wire.state import LedgerRecord, OpenEntry, encode_ledger, encode_open
from streams.wire.topics import TopicNames
from streams.worker.ports import Append
from streams.worker.settlement import epoch_headers
from streams.worker.tables import COMMITTED

NAMES = TopicNames("")
QUEUE, RETRY, LEDGER = NAMES.queue("q"), NAMES.retry("q"), NAMES.ledger("q")
NOW = 1_700_000_000_000
DAY = 24 * 60 * 60 * 1000


class WrittenTopics:
    """Topics that a test writes as clients and workers do."""

    def __init__(self, partitions: int = 1) -> None:
        self.clock = MemoryClock(NOW)
        self.log = MemoryLog(self.clock, partitions)

    def enqueue(
        self,
        id: str,
        time: int = NOW,
        *,
        partition: int = 0,
        key: str | None = None,
        replaces_dead: bool = False,
    ) -> JobKey:
        options = JobOverrides(replaces_dead=True) if replaces_dead else None
        envelope = Envelope(
            id=id, name="job", source="s", time=time, payload=b"{}", key=key, options=options
        )
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

    def trim(self, topic: str, before: int) -> None:
        """As DeleteRecords and retention do."""
        self.log.starts[(topic, 0)] = before

    def compact(self, topic: str, offset: int) -> None:
        """A record is no longer there."""
        records = self.log.topics[(topic, 0)]
        records[offset] = replace(records[offset], key=COMPACTED, value=b"")

    def audit(
        self,
        checkpoint: Checkpoint | None = None,
        *,
        acknowledges: bool = False,
        part: int = PART,
        **rules: Any,
    ) -> Report:
        self.clock.set(self.clock.now() + 1)
        return audit_memory(
            self.log,
            NAMES,
            ["q"],
            rules=Rules(now=self.clock.now(), **rules),
            checkpoint=checkpoint,
            acknowledges=acknowledges,
            part=part,
        )


def told(report: Report) -> list[tuple[str, str]]:
    """Of each fault what it is, and the id of its job."""
    return [(fault.why, fault.job[2]) for fault in report.faults]
