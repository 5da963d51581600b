"""What a child of a batch reports to its callback, once it is durably over."""

from __future__ import annotations

import logging
from collections.abc import Iterable

from streams.jobs.batches import ChildOf
from streams.jobs.states import State
from streams.wire.envelope import child_of
from streams.wire.partition import partition_of
from streams.wire.state import Command, encode_command
from streams.worker.ports import Append
from streams.worker.settlement import Place

logger = logging.getLogger(__name__)


def report_of(
    headers: Iterable[tuple[str, bytes | None]], state: State, place: Place
) -> list[Append]:
    """The report of a job with these headers; none if it is no child."""
    try:
        whose = child_of(headers)
    except ValueError:
        return []  # such a record was buried when it arrived
    return [] if whose is None else _report(whose, state, place)


def _report(whose: ChildOf, state: State, place: Place) -> list[Append]:
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
