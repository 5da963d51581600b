"""Events that cancel jobs of their key: each is a purge of what was sent before it."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from streams.errors import UndecodableRecord
from streams.jobs.definition import JobDefinition
from streams.jobs.identity import JobKey
from streams.jobs.registry import Registry
from streams.wire.commands import Command, encode_command
from streams.wire.envelope import Envelope, Record, decode_event
from streams.wire.partition import partition_of
from streams.wire.topics import TopicNames
from streams.worker.ports import Append, Log

logger = logging.getLogger(__name__)


class Cancels:
    """Those of one type of event; what a command means does not change when it is repeated."""

    def __init__(
        self, event_type: str, registry: Registry, names: TopicNames, log: Log, partitions: int
    ) -> None:
        self._event_type = event_type
        self._definitions = registry.cancelled_by(event_type)
        self._names = names
        self._log = log
        self._partitions = partitions  # of each queue

    def __bool__(self) -> bool:
        """Whether such events cancel anything."""
        return bool(self._definitions)

    async def commands(self, records: Sequence[Record]) -> list[Append]:
        """The commands that these events are.

        Raises:
            OSError: the broker did not say where a queue ends.
        """
        commands = []
        for record in records:
            try:
                event = decode_event(record, self._event_type)
            except UndecodableRecord:
                continue  # it has a letter
            for definition in self._definitions:
                key = _key_of(event, definition)
                if key is not None:
                    commands.append(await self._command(event, definition, key))
        return commands

    async def _command(self, event: Envelope, definition: JobDefinition, key: str) -> Append:
        partition = partition_of(key.encode(), self._partitions)
        end = await self._log.end(self._names.queue(definition.queue), partition)
        command_key, value = encode_command(
            Command(
                kind="purge",
                job=JobKey(name=definition.name, ordering_key=key, id=""),
                reason=f"cancelled by {self._event_type} {event.id}",
                until=end,
                sent_by=event.time,
                interrupts=True,
            )
        )
        return Append(self._names.commands(definition.queue), partition, command_key, value)


def _key_of(event: Envelope, definition: JobDefinition) -> str | None:
    """The key of the jobs that an event means."""
    assert definition.cancel_on is not None
    try:
        key = definition.cancel_on.model_validate_json(event.payload).ordering_key()
    except Exception as error:  # a contract may compute its key, and stop no partition by it
        logger.warning("event %s cancels nothing of %s: %s", event.id, definition.name, error)
        return None
    return None if key is None else f"{definition.key_scope}:{key}"
