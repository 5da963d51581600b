"""What an audit of a partition has to find in other topics: letters, and what was forwarded."""

from __future__ import annotations

from collections.abc import Collection

from streams.audit.fault import NOT_FORWARDED, Fault
from streams.audit.place import PlaceAudit, Wanted, by_target
from streams.audit.ports import Topics
from streams.audit.rules import Rules
from streams.audit.since import Row
from streams.errors import UndecodableRecord
from streams.jobs.identity import JobKey
from streams.wire.commands import decode_command
from streams.wire.envelope import Record, decode
from streams.wire.topics import TopicNames

RESOLVED_MS = 60_000  # the tombstone of a letter goes so long before the end of its job, at most
RESOLVING = ("discard", "move", "replay")


class Elsewhere:
    """Looks for what a partition has in topics beside its own."""

    def __init__(
        self, topics: Topics, names: TopicNames, queue: str, partition: int, rules: Rules
    ) -> None:
        self._topics = topics
        self._names = names
        self._queue = queue
        self._partition = partition
        self._rules = rules

    async def letters(self, place: PlaceAudit, commands_read: int) -> list[Fault]:
        """Of jobs that are dead and of records that are none; those that are missing."""
        wanted = place.letters_wanted()
        if not wanted:
            return []
        found: dict[bytes, bool] = {}  # whether it stands, or has just been resolved
        since = self._rules.now - RESOLVED_MS
        end = await self._topics.end(self._names.dead, self._partition)
        async for records in self._topics.read(self._names.dead, self._partition, 0, end):
            for record in records:
                if record.key in wanted:
                    found[record.key] = record.value is not None or record.timestamp > since
        missing = [
            each
            for key, each in wanted.items()
            if not (found.get(key, False) if each.must_stand else key in found)
        ]
        resolving = await self._being_resolved(missing, commands_read)
        place.tally.resolving += len(resolving)
        return [each.fault for each in missing if each.of not in resolving]

    async def _being_resolved(
        self, missing: Collection[Wanted], commands_read: int
    ) -> set[tuple[bytes, int]]:
        """Those of which a worker that has ended had begun it: the next one goes on with it."""
        now = self._rules.now
        resolving = {each.of for each in missing if each.due is not None and each.due <= now}
        rest = {each.of for each in missing if each.must_stand} - resolving
        if not rest:
            return resolving
        topic = self._names.commands(self._queue)
        end = await self._topics.end(topic, self._partition)
        async for records in self._topics.read(topic, self._partition, commands_read, end):
            resolving |= {of for record in records for of in _resolved_by(record) if of in rest}
        return resolving

    async def forwarded(self, place: PlaceAudit) -> list[Fault]:
        """What was put on a wrong partition has to be on the right one."""
        faults = []
        for partition, rows in by_target(place.forwards).items():
            missing = dict(rows)
            names, queue = self._names, self._queue
            for topic, is_of_state in (
                (names.queue(queue), False),
                (names.retry(queue), True),
                (names.ledger(queue), True),
            ):
                if missing:
                    await self._strike(missing, topic, partition, is_of_state)
            faults += [self._not_forwarded(row) for row in missing.values()]
        return faults

    async def _strike(
        self, missing: dict[bytes, Row], topic: str, partition: int, is_of_state: bool
    ) -> None:
        end = await self._topics.end(topic, partition)
        async for records in self._topics.read(topic, partition, 0, end):
            for record in records:
                missing.pop(key_of(record, is_of_state) or b"", None)

    def _not_forwarded(self, row: Row) -> Fault:
        return Fault(
            why=NOT_FORWARDED,
            queue=self._queue,
            partition=self._partition,
            key=row.key,
            offset=row.offset,
            detail=f"to partition {row.to}",
        )


def key_of(record: Record, is_of_state: bool) -> bytes | None:
    """The key of the state of the job that a record is about; None: it is about none."""
    if is_of_state:
        return None if record.value is None or (record.key or b"#")[:1] == b"#" else record.key
    try:
        envelope = decode(record)
    except UndecodableRecord:
        return None
    return JobKey(name=envelope.name, ordering_key=envelope.key, id=envelope.id).encode()


def _resolved_by(record: Record) -> list[tuple[bytes, int]]:
    """The dead job that a command is about, with its generation, if it is to resolve one."""
    try:
        command = decode_command(record.key or b"", record.value or b"")
    except UndecodableRecord:
        return []
    if command.kind not in RESOLVING:
        return []
    return [(command.job.encode(), command.generation)]
