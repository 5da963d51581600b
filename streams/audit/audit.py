"""An audit of some queues: partition by partition, in parts that fit into memory."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field

from streams.audit.checkpoint import Checkpoint
from streams.audit.fault import MADE_ANEW, Fault
from streams.audit.look import PART, Look, Looked
from streams.audit.ports import Topics
from streams.audit.rules import Rules
from streams.audit.tally import Tally, total
from streams.wire.topics import TopicNames

LOOKS = 3  # at a partition, before what seems wrong in it is told
LOOK_AGAIN_S = 1.0


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
        acknowledges: bool = False,
    ) -> None:
        self._topics = topics
        self._names = names
        self._partitions = partitions  # of each queue
        self._rules = rules
        self._checkpoint = checkpoint
        self._tell = tell
        self._pause = pause
        self._part = part
        self._acknowledges = acknowledges  # what is wrong: the next audit goes on from there

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
            found = {(fault.why, fault.key) for fault in looked.faults}
            is_certain = found == before or look == LOOKS - 1
            if not found:
                checkpoint.keep(queue, partition, looked.since)
                return looked
            if is_certain and self._acknowledges and MADE_ANEW not in {why for why, _ in found}:
                checkpoint.keep(queue, partition, looked.acknowledged())
                return looked
            checkpoint.drop()
            if is_certain:
                return looked
            before = found
            await self._pause(LOOK_AGAIN_S)
        raise AssertionError("the last look is certain")

    async def _look(self, queue: str, partition: int) -> Looked:
        look = Look(
            self._topics,
            self._names,
            queue,
            partition,
            self._partitions[queue],
            rules=self._rules(),
            checkpoint=self._checkpoint,
            part=self._part,
        )
        return await look()
