"""Gives a consumer its partitions, and looks whether they are what they were."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from aiokafka import AIOKafkaConsumer, TopicPartition

from streams.projection.batch import Place
from streams.projection.kafka import begins_of, ends_of
from streams.projection.own_file import Outdated
from streams.projection.progress import Partition

_DOUBT_S: Final = 5.0  # a broker that has just started may tell ends that are too low


class Bounds(NamedTuple):
    """Where a partition begins and ends now."""

    begin: int
    end: int


async def assign(
    consumer: AIOKafkaConsumer, partitions: Mapping[str, int], places: Mapping[Partition, Place]
) -> dict[Partition, Bounds]:
    """Assign all partitions of topics, by how many each has; `places` are what was read of them.

    Raises:
        Outdated: one ends before what was read of it: its topic was made anew.
    """
    all_ = [(topic, number) for topic, count in partitions.items() for number in range(count)]
    consumer.assign([TopicPartition(*of) for of in all_])
    ends = await _ends(consumer, all_, places)
    begins = await begins_of(consumer, all_)
    return {of: Bounds(begins[of], ends[of]) for of in all_}


async def _ends(
    consumer: AIOKafkaConsumer, partitions: Sequence[Partition], places: Mapping[Partition, Place]
) -> dict[Partition, int]:
    until = time.monotonic() + _DOUBT_S
    while True:
        ends = await ends_of(consumer, partitions)
        if all(place.position <= ends.get(of, place.position) for of, place in places.items()):
            return ends
        if time.monotonic() > until:
            raise Outdated("a topic was made anew, and so is the projection")
        await asyncio.sleep(_DOUBT_S / 10)
