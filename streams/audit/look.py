"""One look at a partition: its topics are read once each, and what they say is put together."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace

from streams.audit.checkpoint import Checkpoint
from streams.audit.elsewhere import Elsewhere
from streams.audit.fault import MADE_ANEW, NO_SUM, TRIMMED_TOO_FAR, Fault
from streams.audit.lives import Epochs
from streams.audit.place import PlaceAudit, is_old, unseen
from streams.audit.ports import Topics
from streams.audit.rules import Rules
from streams.audit.said import Said, queued_of, said_of_ledger, said_of_retry
from streams.audit.since import Ends, Since
from streams.audit.slices import OldSlices, Slices, Takes
from streams.audit.spill import MOST, Spill
from streams.audit.tally import Tally
from streams.audit.trims import Marks, trims
from streams.wire.envelope import Record
from streams.wire.topics import TopicNames
from streams.worker.tables import COMMANDS_READ, COMMITTED

PART = 600_000  # records in memory at once: about 150 MB


@dataclass(frozen=True, slots=True, kw_only=True)
class Looked:
    """What one look at a partition found."""

    tally: Tally
    faults: list[Fault]
    since: Since

    def acknowledged(self) -> Since:
        """Where the next audit goes on if somebody has taken note of what is wrong."""
        tally, told = self.since.tally, self.tally
        lost = told.lost + told.missing
        return replace(self.since, tally=replace(tally, acknowledged=lost))


class Look:
    """At one partition of one queue, with the rules as they are at its beginning."""

    def __init__(
        self,
        topics: Topics,
        names: TopicNames,
        queue: str,
        partition: int,
        partitions: int,
        *,
        rules: Rules,
        checkpoint: Checkpoint,
        part: int,
    ) -> None:
        self._topics = topics
        self._names = names
        self._queue = queue
        self._partition = partition
        self._partitions = partitions
        self._rules = rules
        self._checkpoint = checkpoint
        self._part = part
        self._since = checkpoint.since(queue, partition)
        self._begin = self._since or Since()
        self._retry_epochs = Epochs(self._begin.retry_epoch)
        self._ledger_epochs = Epochs(self._begin.ledger_epoch)
        self._marks = Marks(self._begin.marks)
        self._ledger_read = 0
        self._commit, self._commands = self._begin.commit, self._begin.commands
        self._ends = Ends()

    async def __call__(self) -> Looked:
        """Look; what is not over goes to the checkpoint, which is not told yet that this holds."""
        begin = self._begin
        await self._see_ends()
        if faults := list(self._made_anew()):
            return Looked(tally=begin.tally, faults=faults, since=begin)
        tally, ended_to = begin.tally.lasting(), begin.ended_to
        elsewhere = Elsewhere(self._topics, self._names, self._queue, self._partition, self._rules)
        with ExitStack() as stack:
            async for place in self._places(stack):
                faults += place.judge(self._ends)
                faults += await elsewhere.letters(place, self._commands)
                faults += await elsewhere.forwarded(place)
                tally += place.tally
                ended_to = max(ended_to, place.lives.ended_to)
                self._checkpoint.add(self._queue, self._partition, place.rows())
                del place  # before the next one is read
        ends = self._ends
        faults += trims(self._queue, self._partition, begin, ends, self._rules)
        faults += self._trimmed_too_far()
        tally.unseen += unseen(self._since, ends)
        if tally.missing:
            faults.append(self._fault(NO_SUM, f"{tally.missing} more were accepted than are told"))
        reached = Since(
            queue=ends.queue,
            retry=ends.retry,
            ledger=ends.ledger,
            retry_epoch=self._retry_epochs.latest,
            ledger_epoch=self._ledger_epochs.latest,
            commit=self._commit,
            commands=self._commands,
            ended_to=ended_to,
            at=self._rules.now,
            retry_start=ends.retry_start,
            marks=self._marks.lasting(self._rules),
            tally=tally.lasting(),
        )
        return Looked(tally=tally, faults=faults, since=reached)

    async def _see_ends(self) -> None:
        topics, names, queue, partition = self._topics, self._names, self._queue, self._partition
        # Before the others: what is below a commit was in state by then, and only that is trimmed.
        queue_start = await topics.start(names.queue(queue), partition)
        self._commit = max(self._commit, (await topics.committed(queue)).get(partition, 0))
        self._ends = Ends(
            queue_start=queue_start,
            retry=await topics.end(names.retry(queue), partition),
            ledger=await topics.end(names.ledger(queue), partition),
            queue=await topics.end(names.queue(queue), partition),
        )

    async def _places(self, stack: ExitStack) -> AsyncIterator[PlaceAudit]:
        """All of the partition, in slices if it is large: memory has room for one of these."""
        begin, ends = self._begin, self._ends
        span = ends.retry - begin.retry + ends.ledger - begin.ledger + ends.queue - begin.queue
        span += self._checkpoint.count(self._queue, self._partition)
        count = min(MOST, max(1, -(-span // self._part)))
        if count == 1:
            place = self._place()
            await self._read(place)
            if wanted := self._questions(place):
                async for said in self._older(min(wanted.values())):
                    place.take_older(said, wanted)
            yield place
            return
        folder = self._checkpoint.folder
        slices, old = Slices(stack.enter_context(Spill(count, folder))), None
        await self._read(slices)
        for number in range(count):
            place = self._place()
            slices.feed(number, place)
            if wanted := self._questions(place):
                if old is None:  # all of them, once: the next slices have questions as well
                    old = OldSlices(stack.enter_context(Spill(count, folder)))
                    async for said in self._older():
                        old.put(said)
                for said in old.read(number):
                    place.take_older(said, wanted)
            yield place
            del place

    async def _read(self, taker: Takes) -> None:
        names, queue, ends, begin = self._names, self._queue, self._ends, self._begin
        for row in self._checkpoint.rows(queue, self._partition):
            taker.expect(row)
        if is_old(self._since, self._rules):
            async for record in self._records(names.retry(queue), 0, begin.retry):
                taker.stand(record.key or b"", record.offset)
        async for record in self._records(names.retry(queue), begin.retry, ends.retry):
            if self._retry_epochs.is_void(record):
                continue
            if (record.key or b"")[:1] == b"#":
                self._take_note(record)
            else:
                taker.take_retry(said_of_retry(record))
        async for record in self._records(names.ledger(queue), begin.ledger, ends.ledger):
            self._marks.take(record.timestamp, record.offset)
            if self._ledger_epochs.is_void(record):
                continue
            self._ledger_read += 1
            if (record.key or b"")[:1] != b"#":
                taker.take_ledger(said_of_ledger(record))
        async for record in self._records(names.queue(queue), begin.queue, ends.queue):
            taker.take_queued(queued_of(record, self._partitions))
        self._ends = replace(
            ends,
            queue_first=await self._topics.start(names.queue(queue), self._partition),
            retry_start=await self._topics.start(names.retry(queue), self._partition),
            ledger_start=await self._topics.start(names.ledger(queue), self._partition),
        )

    async def _records(self, topic: str, start: int, end: int) -> AsyncIterator[Record]:
        async for records in self._topics.read(topic, self._partition, start, end):
            for record in records:
                yield record

    def _take_note(self, record: Record) -> None:
        """Of how far the owner of the partition is."""
        value = record.value or b"0"
        if record.key == COMMITTED and value.isdigit():
            self._commit = max(self._commit, int(value))
        elif record.key == COMMANDS_READ and value.isdigit():
            self._commands = max(self._commands, int(value))

    def _place(self) -> PlaceAudit:
        return PlaceAudit(
            queue=self._queue, partition=self._partition, rules=self._rules, since=self._since
        )

    def _questions(self, place: PlaceAudit) -> dict[bytes, int]:
        place.commit, place.ledger_read = self._commit, self._ledger_read
        return place.questions() if self._begin.ledger else {}

    async def _older(self, time: int = 0) -> AsyncIterator[Said]:
        """What the ledger had before the checkpoint, from some time on."""
        topic, start, end = self._names.ledger(self._queue), 0, self._begin.ledger
        if time > 0:
            start = min(end, await self._topics.offset_at(topic, self._partition, time))
        epochs = Epochs()
        async for record in self._records(topic, start, end):
            if not epochs.is_void(record) and (record.key or b"")[:1] != b"#":
                yield said_of_ledger(record)

    def _made_anew(self) -> Iterator[Fault]:
        begin, ends = self._begin, self._ends
        for what, end, read in (
            ("queue", ends.queue, begin.queue),
            ("retry", ends.retry, begin.retry),
            ("ledger", ends.ledger, begin.ledger),
        ):
            if end < read:
                told = f"the {what} topic ends at {end}, it was read up to {read}"
                yield self._fault(MADE_ANEW, told, end)

    def _trimmed_too_far(self) -> Iterator[Fault]:
        start, commit = self._ends.queue_start, self._commit
        if start > commit:
            yield self._fault(TRIMMED_TOO_FAR, f"offsets {commit} to {start - 1}", commit)

    def _fault(self, why: str, detail: str, offset: int = -1) -> Fault:
        return Fault(
            why=why, queue=self._queue, partition=self._partition, detail=detail, offset=offset
        )
