"""What a child of a batch reports to its callback, once it is durably over."""

from __future__ import annotations

import logging

from streams.errors import UndecodableRecord
from streams.jobs.batches import ChildOf
from streams.jobs.states import State
from streams.wire.commands import Command, encode_command
from streams.wire.envelope import decode
from streams.wire.partition import partition_of
from streams.wire.state import OpenEntry
from streams.worker.admission import entry_record
from streams.worker.ports import Append
from streams.worker.settlement import Place

logger = logging.getLogger(__name__)


def report_of_entry(entry: OpenEntry, state: State, place: Place) -> list[Append]:
    """The report of an open job; none if it is no child."""
    try:
        envelope = entry.envelope or decode(entry_record(entry))
    except UndecodableRecord:
        return []
    return report_of(envelope.child_of, state, place)


def report_of(whose: ChildOf | None, state: State, place: Place) -> list[Append]:
    """The report of a job; none if it is no child."""
    if whose is None:
        return []
    if whose.queue != place.queue and whose.queue not in place.queues:
        # A record from elsewhere: a topic that is not there would stop this partition.
        logger.error("a child's callback is in queue %r, which is not there", whose.queue)
        return []
    callback = whose.callback
    key, value = encode_command(
        Command(kind="report", job=callback, index=whose.index, state=state)
    )
    partition = partition_of((callback.ordering_key or callback.id).encode(), place.partitions)
    return [Append(place.names.commands(whose.queue), partition, key, value)]
