"""What an audit reads from."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Protocol

from streams.wire.envelope import Record


class Topics(Protocol):
    """Topics, and commits of groups; nothing is written."""

    async def start(self, topic: str, partition: int) -> int:
        """The first offset that there is."""
        ...

    async def end(self, topic: str, partition: int) -> int:
        """The offset behind the last one."""
        ...

    async def offset_at(self, topic: str, partition: int, time: int) -> int:
        """The offset of the first record at or after a time; the end if there is none."""
        ...

    def read(
        self, topic: str, partition: int, start: int, end: int
    ) -> AsyncIterator[Sequence[Record]]:
        """What there is from `start` on and before `end`."""
        ...

    async def committed(self, queue: str) -> Mapping[int, int]:
        """The commits of the group that a queue belongs to, by partition."""
        ...
