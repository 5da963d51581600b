"""An audit of some queues: partition by partition, in parts that fit into memory."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

from streams.audit.checkpoint import Checkpoint
from streams.audit.fault import MADE_ANEW, NO_SUM, NOT_FORWARDED, TRIMMED_TOO_FAR, Fault
from streams.audit.lives import Epochs
from streams.audit.place import Ends, PlaceAudit, Row, Since, by_target, unseen
from streams.audit.rules import Rules
from streams.audit.tally import Tally, total
from streams.errors import UndecodableRecord
from streams.jobs.identity import JobKey
from streams.wire.envelope import Record, decode
from streams.wire.topics import TopicNames

PART = 600_000  # offsets of a partition at once: about 150 MB
LOOKS = 3  # at a partition, before what seems wrong in it is told
LOOK_AGAIN_S = 1.0
RESOLVED_MS = 60_000  # the tombstone of a letter goes so long before the end of its job, at most


class Topics(Protocol):
    """What an audit reads from."""

    async def start(self, topic: str, partition: int) -> int:
        """The first offset that there is."""
        ...

    async def end(self, topic: str, partition: int) -> int:
        """The offset behind the last one."""
        ...

    def read(
        self, topic: str, partition: int, start: int, end: int
    ) -> AsyncIterator[Sequence[Record]]:
        """What there is from `start` on and before `end`."""
        ...

    async def committed(self, queue: str) -> Mapping[int, int]:
        """The commits of the group that a queue belongs to, by partition."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Looked:
    """What one look at a partition found."""

    tally: Tally
    faults: list[Fault]
    since: Since


@dataclass(slots=True, kw_only=True)
class Report:
    """What an audit found."""

    tallies: dict[tuple[str, int], Tally] = field(default_factory=dict)
    faults: list[Fault] = field(default_factory=list)

    def of_queue(self, queue: str) -> Tally:
        """All partitions of a queue."""
        return total(tally for (of, _), tally in self.tallies.items() if of == queue)


class Audit:
    """Goes on from a checkpoint, which it moves on where all is well."""

    def __init__(
        self,
        topics: Topics,
        names: TopicNames,
        partitions: Mapping[str, int],
        *,
        rules: Callable[[], Rules],
        checkpoint: Checkpoint,
        tell: Callable[[str], None] = lambda text: None,
        pause: Callable[[float], Awaitable[None]] = asyncio.sleep,
        part: int = PART,
    ) -> None:
        self._topics = topics
        self._names = names
        self._partitions = partitions  # of each queue
        self._rules = rules
        self._checkpoint = checkpoint
        self._tell = tell
        self._pause = pause
        self._part = part

    async def run(self) -> Report:
        """Audit all queues."""
        report = Report()
        for queue, partitions in self._partitions.items():
            for partition in range(partitions):
                self._tell(f"{queue}/{partition}")
                looked = await self._audit(queue, partition)
                report.tallies[(queue, partition)] = looked.tally
                report.faults += looked.faults
        return report

    async def _audit(self, queue: str, partition: int) -> Looked:
        """Look at a partition until nothing seems wrong, or what does is the same again."""
        checkpoint = self._checkpoint
        before: set[tuple[str, bytes]] | None = None
        for look in range(LOOKS):
            checkpoint.begin()
            try:
                looked = await self._look(queue, partition)
            except BaseException:
                checkpoint.drop()
                raise
            if not looked.faults:
                checkpoint.keep(queue, partition, looked.since)
                return looked
            checkpoint.drop()
            found = {(fault.why, fault.key) for fault in looked.faults}
            if found == before or look == LOOKS - 1:
                break
            before = found
            await self._pause(LOOK_AGAIN_S)
        return looked

    async def _look(self, queue: str, partition: int) -> Looked:
        """Read its topics from the checkpoint on, as often as it has parts."""
        names, topics = self._names, self._topics
        since = self._checkpoint.since(queue, partition)
        # Before the others: what is below a commit was in state by then, and only that is trimmed.
        queue_start = await topics.start(names.queue(queue), partition)
        committed = (await topics.committed(queue)).get(partition, 0)
        ends = Ends(
            queue_start=queue_start,
            retry=await topics.end(names.retry(queue), partition),
            ledger=await topics.end(names.ledger(queue), partition),
            queue=await topics.end(names.queue(queue), partition),
        )
        begin = since or Since()
        faults = list(_made_anew(queue, partition, begin, ends))
        if faults:
            return Looked(tally=begin.tally, faults=faults, since=begin)
        span = ends.retry - begin.retry + ends.ledger - begin.ledger + ends.queue - begin.queue
        parts = max(1, -(-span // self._part))
        tally, reached, ended_to = begin.tally.lasting(), begin, begin.ended_to
        for part in range(parts):
            place = PlaceAudit(
                queue=queue,
                partition=partition,
                partitions=self._partitions[queue],
                rules=self._rules(),
                since=since,
                part=part,
                parts=parts,
            )
            place.committed = committed
            reached, ends = await self._look_at_part(place, begin, ends)
            faults += place.judge(ends)
            faults += await self._look_for_letters(place)
            faults += await self._look_for_forwarded(place)
            tally += place.tally
            ended_to = max(ended_to, place.lives.ended_to)
            self._checkpoint.add(queue, partition, place.rows())
        if queue_start > reached.commit:
            faults.append(_trimmed_too_far(queue, partition, reached.commit, queue_start))
        tally.unseen += unseen(since, ends)
        if tally.missing:
            faults.append(_no_sum(queue, partition, tally))
        reached = replace(reached, ended_to=ended_to, tally=tally.lasting())
        return Looked(tally=tally, faults=faults, since=reached)

    async def _look_at_part(
        self, place: PlaceAudit, begin: Since, ends: Ends
    ) -> tuple[Since, Ends]:
        names, topics, queue, partition = self._names, self._topics, place.queue, place.partition
        for row in self._checkpoint.rows(queue, partition):
            place.expect(row)
        retry, ledger = names.retry(queue), names.ledger(queue)
        retry_epochs, ledger_epochs = Epochs(begin.retry_epoch), Epochs(begin.ledger_epoch)
        async for records in topics.read(retry, partition, begin.retry, ends.retry):
            for record in records:
                if not retry_epochs.is_void(record):
                    place.take_retry(record)
        async for records in topics.read(ledger, partition, begin.ledger, ends.ledger):
            for record in records:
                if not ledger_epochs.is_void(record):
                    place.take_ledger(record)
        async for records in topics.read(names.queue(queue), partition, begin.queue, ends.queue):
            for record in records:
                place.take_queue(record)
        if begin.ledger and (wanted := place.questions()):
            epochs = Epochs()
            async for records in topics.read(ledger, partition, 0, begin.ledger):
                for record in records:
                    if not epochs.is_void(record):
                        place.take_older(record, wanted)
        reached = Since(
            queue=ends.queue,
            retry=ends.retry,
            ledger=ends.ledger,
            retry_epoch=retry_epochs.latest,
            ledger_epoch=ledger_epochs.latest,
            commit=place.commit,
        )
        return reached, replace(
            ends,
            queue_first=await topics.start(names.queue(queue), partition),
            ledger_start=await topics.start(ledger, partition),
        )

    async def _look_for_letters(self, place: PlaceAudit) -> list[Fault]:
        """Of jobs that are dead and of records that are none."""
        wanted = place.letters_wanted()
        if not wanted:
            return []
        found: dict[bytes, bool] = {}  # whether it stands, or has just been resolved
        since = self._rules().now - RESOLVED_MS
        topic, partition = self._names.dead, place.partition
        end = await self._topics.end(topic, partition)
        async for records in self._topics.read(topic, partition, 0, end):
            for record in records:
                if record.key in wanted:
                    found[record.key] = record.value is not None or record.timestamp > since
        return [
            fault
            for key, (must_stand, fault) in wanted.items()
            if not (found.get(key, False) if must_stand else key in found)
        ]

    async def _look_for_forwarded(self, place: PlaceAudit) -> list[Fault]:
        """What was put on a wrong partition has to be on the right one."""
        faults = []
        for partition, rows in by_target(place.forwards).items():
            missing = dict(rows)
            names, queue = self._names, place.queue
            for topic, is_of_state in (
                (names.queue(queue), False),
                (names.retry(queue), True),
                (names.ledger(queue), True),
            ):
                if missing:
                    await self._strike(missing, topic, partition, is_of_state)
            faults += [_not_forwarded(place, row) for row in missing.values()]
        return faults

    async def _strike(
        self, missing: dict[bytes, Row], topic: str, partition: int, is_of_state: bool
    ) -> None:
        end = await self._topics.end(topic, partition)
        async for records in self._topics.read(topic, partition, 0, end):
            for record in records:
                missing.pop(key_of(record, is_of_state) or b"", None)


def key_of(record: Record, is_of_state: bool) -> bytes | None:
    """The key of the state of the job that a record is about; None: it is about none."""
    if is_of_state:
        return None if record.value is None or (record.key or b"#")[:1] == b"#" else record.key
    try:
        envelope = decode(record)
    except UndecodableRecord:
        return None
    return JobKey(name=envelope.name, ordering_key=envelope.key, id=envelope.id).encode()


def _made_anew(queue: str, partition: int, since: Since, ends: Ends) -> list[Fault]:
    return [
        Fault(
            why=MADE_ANEW,
            queue=queue,
            partition=partition,
            offset=end,
            detail=f"the {what} topic ends at {end}, it was read up to {read}",
        )
        for what, end, read in (
            ("queue", ends.queue, since.queue),
            ("retry", ends.retry, since.retry),
            ("ledger", ends.ledger, since.ledger),
        )
        if end < read
    ]


def _trimmed_too_far(queue: str, partition: int, commit: int, start: int) -> Fault:
    return Fault(
        why=TRIMMED_TOO_FAR,
        queue=queue,
        partition=partition,
        offset=commit,
        detail=f"offsets {commit} to {start - 1}",
    )


def _no_sum(queue: str, partition: int, tally: Tally) -> Fault:
    return Fault(
        why=NO_SUM,
        queue=queue,
        partition=partition,
        detail=f"{tally.missing} more were accepted than are accounted for",
    )


def _not_forwarded(place: PlaceAudit, row: Row) -> Fault:
    return Fault(
        why=NOT_FORWARDED,
        queue=place.queue,
        partition=place.partition,
        key=row.key,
        offset=row.offset,
        detail=f"to partition {row.to}",
    )
