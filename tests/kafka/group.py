"""A consumer group as the broker sees it."""

from __future__ import annotations

import asyncio
import struct
import time
from collections.abc import Callable

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import GroupCoordinatorNotAvailableError
from aiokafka.protocol.admin import DeleteGroupsRequest
from aiokafka.protocol.group import LeaveGroupRequest

from streams.wire.admin import open_admin

_OFFSETS = "__consumer_offsets"
_GROUP_METADATA = 2  # the version of a key that stands for a group, not for an offset


class Group:
    """One group; asks the broker anew each time."""

    def __init__(self, kafka: str, name: str) -> None:
        self._kafka = kafka
        self.name = name

    async def members(self) -> int | None:
        """How many members it has; None in the middle of a rebalance."""
        async with open_admin(self._kafka) as admin:
            try:
                (answer,) = await admin.describe_consumer_groups([self.name])
            except GroupCoordinatorNotAvailableError:  # a broker's first group takes a moment
                return None
        _, _, state, _, _, members, *_ = answer.groups[0]
        return len(members) if state in ("Stable", "Empty") else None

    async def member_ids(self) -> list[str]:
        """The broker's names for its members."""
        async with open_admin(self._kafka) as admin:
            (answer,) = await admin.describe_consumer_groups([self.name])
        _, _, _, _, _, members, *_ = answer.groups[0]
        return [member[0] for member in members]

    async def remove(self, member_id: str) -> None:
        """Say that a member leaves, as it would itself: what it had moves to others."""
        async with open_admin(self._kafka) as admin:
            node = await admin.find_coordinator(self.name)
            answer = await admin._send_request(LeaveGroupRequest(self.name, member_id), node)
        assert answer.error_code == 0, f"removing {member_id} failed: {answer.error_code}"

    async def until_members(
        self, count: int, log: Callable[[], str], timeout_s: float = 90
    ) -> None:
        """Return once it is stable with so many members: the broker tells only who asks."""
        limit = time.monotonic() + timeout_s
        while (found := await self.members()) != count:
            assert time.monotonic() < limit, f"{found} members, not {count}\n{log()}"
            await asyncio.sleep(0.1)

    async def generations(self) -> list[int]:
        """All that it went through, as far as the broker has not compacted them."""
        consumer = AIOKafkaConsumer(bootstrap_servers=self._kafka, enable_auto_commit=False)
        await consumer.start()
        found: set[int] = set()
        try:
            numbers = await _partitions(consumer)
            places = [TopicPartition(_OFFSETS, number) for number in numbers]
            consumer.assign(places)
            await consumer.seek_to_beginning()
            ends = await consumer.end_offsets(places)
            while any([await consumer.position(place) < ends[place] for place in places]):
                for batch in (await consumer.getmany(timeout_ms=200)).values():
                    found |= {
                        generation
                        for record in batch
                        if (generation := _generation(record.key, record.value, self.name))
                    }
        finally:
            await consumer.stop()
        return sorted(found)

    async def committed(self) -> dict[TopicPartition, int]:
        """What it has committed."""
        async with open_admin(self._kafka) as admin:
            offsets = await admin.list_consumer_group_offsets(self.name)
        return {place: found.offset for place, found in offsets.items()}

    async def delete(self) -> None:
        """Delete it with all its offsets; it must have no member."""
        async with open_admin(self._kafka) as admin:
            node = await admin.find_coordinator(self.name)
            answer = await admin._send_request(DeleteGroupsRequest([self.name]), node)
        ((_, error),) = answer.results
        assert error == 0, f"deleting the group failed: {error}"


async def _partitions(consumer: AIOKafkaConsumer) -> set[int]:
    await consumer._client._wait_on_metadata(_OFFSETS)
    return consumer.partitions_for_topic(_OFFSETS) or set()


def _generation(key: bytes | None, value: bytes | None, group: str) -> int | None:
    """The generation that a record of the broker's own topic tells of this group."""
    if key is None or value is None or struct.unpack_from(">h", key)[0] != _GROUP_METADATA:
        return None
    if key[4:] != group.encode():
        return None
    (length,) = struct.unpack_from(">h", value, 2)  # of the protocol's type, behind a version
    return int(struct.unpack_from(">i", value, 4 + max(length, 0))[0])
