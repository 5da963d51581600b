"""The loss audit of topics in memory."""

from __future__ import annotations

from collections.abc import AsyncIterator, Coroutine, Mapping, Sequence
from typing import Any, TypeVar

from streams.audit.audit import Audit, Report
from streams.audit.checkpoint import Checkpoint
from streams.audit.look import PART
from streams.audit.rules import Rules
from streams.testing.coordinator import Partition
from streams.testing.memory import MemoryLog
from streams.wire.envelope import Record
from streams.wire.topics import TopicNames

T = TypeVar("T")

COMPACTED = b"#compacted"  # the key of what stands where a record was, which is not there any more


class MemoryTopics:
    """What an audit reads, in memory."""

    def __init__(self, log: MemoryLog, names: TopicNames, commits: Mapping[Partition, int]) -> None:
        self._log = log
        self._names = names
        self._commits = commits

    async def start(self, topic: str, partition: int) -> int:
        """The first offset that there is."""
        return self._log.starts[(topic, partition)]

    async def end(self, topic: str, partition: int) -> int:
        """The offset behind the last one."""
        return len(self._log.topics[(topic, partition)])

    async def offset_at(self, topic: str, partition: int, time: int) -> int:
        """The offset of the first record at or after a time; the end if there is none."""
        found = await self._log.offset_at(topic, partition, time)
        return await self.end(topic, partition) if found is None else found

    async def read(
        self, topic: str, partition: int, start: int, end: int
    ) -> AsyncIterator[Sequence[Record]]:
        """What there is from `start` on and before `end`."""
        place = (topic, partition)
        there = self._log.topics[place][max(start, self._log.starts[place]) : end]
        yield [record for record in there if record.key != COMPACTED]

    async def committed(self, queue: str) -> Mapping[int, int]:
        """The commits, by partition."""
        topic = self._names.queue(queue)
        return {partition: at for (of, partition), at in self._commits.items() if of == topic}


def audit_memory(
    log: MemoryLog,
    names: TopicNames,
    queues: Sequence[str],
    *,
    rules: Rules,
    commits: Mapping[Partition, int] | None = None,
    checkpoint: Checkpoint | None = None,
    part: int = PART,
    acknowledges: bool = False,
) -> Report:
    """Audit what is in memory, as it is at this moment."""

    async def at_once(seconds: float) -> None:
        """Nothing changes meanwhile."""

    with Checkpoint(None, names.prefix) as fresh:
        audit = Audit(
            MemoryTopics(log, names, commits or {}),
            names,
            dict.fromkeys(queues, log.partitions),
            rules=lambda: rules,
            checkpoint=checkpoint or fresh,
            pause=at_once,
            part=part,
            acknowledges=acknowledges,
        )
        return _run(audit.run())


def _run(coroutine: Coroutine[Any, Any, T]) -> T:
    """What never waits needs no loop."""
    try:
        coroutine.send(None)
    except StopIteration as end:
        result: T = end.value
        return result
    raise AssertionError("an audit of what is in memory waits")
