"""What was commanded before a partition is opened: what it is about does not start before that."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import Final, NamedTuple

from streams.errors import UndecodableRecord
from streams.wire.commands import Command, decode_command
from streams.worker.ports import Log

_KINDS: Final = (b'"purge"', b'"cancel"', b'"reschedule"')


class Foreseen(NamedTuple):
    """Commands that are to come, and concern what would start otherwise."""

    purges: Sequence[tuple[Command, int]] = ()  # each with its offset
    until: int = 0  # the offset behind the last cancel or other time


async def foresee(log: Log, topic: str, partition: int, start: int) -> Foreseen:
    """What there is of that among the commands from `start` on.

    Raises:
        OSError: the log can't be reached.
    """
    purges: list[tuple[Command, int]] = []
    until = 0
    async for records in log.read(topic, partition, start):
        for record in records:
            value = record.value or b""
            if not any(kind in value for kind in _KINDS):
                continue  # most are of others, and this costs little
            with suppress(UndecodableRecord):  # whoever obeys them says so
                command = decode_command(record.key or b"", value)
                if command.kind == "purge":
                    purges.append((command, record.offset))
                elif command.kind in ("cancel", "reschedule"):
                    until = record.offset + 1
    return Foreseen(purges, until)
