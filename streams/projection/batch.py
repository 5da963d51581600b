"""What a batch of records says of jobs, put together before anything is written."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final, NamedTuple

from streams.errors import UndecodableRecord
from streams.jobs.identity import read_state_key
from streams.projection.asked import Asked, Order, read_asked
from streams.projection.letters import Letter, is_of_a_job, read_letter
from streams.projection.row import LEDGER, RETRY
from streams.wire import headers as h
from streams.wire.outline import Readable, Seen, Sent, read_open, read_over, read_sent
from streams.wire.partition import partition_of
from streams.wire.topics import TopicNames
from streams.worker.tables import COMMANDS_READ, COMMITTED

QUEUE: Final = 0
DEAD: Final = 3  # the topic of dead letters
COMMANDS: Final = 4
_DIGITS: Final = 18  # of an offset, which has 63 bits


def roles_of(names: TopicNames, queues: Iterable[str]) -> dict[str, tuple[str, int]]:
    """Of each topic that tells of jobs its queue, and which of these it is."""
    return {
        names.dead: ("", DEAD),
        **{
            topic: (queue, source)
            for queue in queues
            for topic, source in (
                (names.queue(queue), QUEUE),
                (names.retry(queue), RETRY),
                (names.ledger(queue), LEDGER),
                (names.commands(queue), COMMANDS),
            )
        },
    }


class Identity(NamedTuple):
    """One job: the same id in two queues, or under two names or keys, is several."""

    queue: str
    name: str
    key: str | None
    id: str


class Told(NamedTuple):
    """One record about a job: from its queue (`QUEUE`), `RETRY` or `LEDGER`; None: a removal."""

    source: int
    offset: int
    what: Sent | Seen | None


@dataclass(slots=True)
class Place:
    """How far a partition of a topic was read."""

    position: int = 0
    epoch: int = 0  # of its owner: what an earlier one wrote behind it is void
    time: int = 0  # when the latest job that it told of was sent (ms since the epoch), if known


@dataclass(slots=True)
class Batch:
    """Records in the order in which they were read."""

    told: dict[Identity, tuple[int, list[Told]]] = field(default_factory=dict)  # with a partition
    letters: dict[bytes, Letter | None] = field(default_factory=dict)  # that no job has
    asked: dict[Order, Asked] = field(default_factory=dict)
    obeyed: dict[tuple[str, int], int] = field(default_factory=dict)
    commits: dict[tuple[str, int], int] = field(default_factory=dict)
    places: dict[tuple[str, int], tuple[int, int]] = field(default_factory=dict)  # as they then are
    records: int = 0
    unreadable: Counter[str] = field(default_factory=Counter)  # by topic


class Reader:
    """Reads records of queue, retry, ledger, command and dead-letter topics into batches."""

    def __init__(
        self,
        roles: dict[str, tuple[str, int]],
        places: dict[tuple[str, int], Place],
        partitions: Mapping[str, int] | None = None,
    ) -> None:
        self._roles = roles  # of each topic its queue, and which of these it is
        self._places = places
        self._partitions = partitions or {}  # how many each topic has, where that is known

    def read(self, records: Iterable[Readable], into: Batch) -> None:
        """Add records, of each partition in their order; what was read before is passed over."""
        moved = set()
        for record in records:
            topic, partition, offset = record.topic, record.partition, record.offset
            place = self._places.get((topic, partition))
            if place is None:
                place = self._places[topic, partition] = Place()
            if offset < place.position:
                continue
            place.position = offset + 1
            moved.add((topic, partition))
            into.records += 1
            queue, source = self._roles[topic]
            try:
                if source == QUEUE:
                    sent = read_sent(record)
                    if sent.key is not None and self._is_misplaced(record):
                        continue  # its worker sends it on to where it belongs
                    identity = Identity(queue, sent.name, sent.key, sent.id)
                    place.time = max(place.time, sent.time)
                    _add(into, identity, partition, Told(QUEUE, offset, sent))
                elif source == DEAD:
                    if record.key and not is_of_a_job(record):
                        has_value = record.value is not None
                        into.letters[record.key] = read_letter(record) if has_value else None
                elif source == COMMANDS:
                    asked = read_asked(record)
                    if asked is not None:
                        into.asked[queue, partition, offset] = asked
                elif not _is_void(record, place):
                    self._read_state(record, queue, source, place, into)
            except (UndecodableRecord, ValueError):
                into.unreadable[topic] += 1
        for key in moved:
            into.places[key] = (self._places[key].position, self._places[key].epoch)

    def _is_misplaced(self, record: Readable) -> bool:
        """Whether a foreign partitioner has put it where jobs of its key are not."""
        count = self._partitions.get(record.topic)
        return count is not None and _place_of(record.key or b"", count) != record.partition

    def _read_state(
        self, record: Readable, queue: str, source: int, place: Place, into: Batch
    ) -> None:
        key, value = record.key or b"", record.value
        if key[:1] == b"#":
            position = _position(value)
            if key == COMMITTED and position is not None:
                into.commits[queue, record.partition] = position
            elif key == COMMANDS_READ and position is not None:
                into.obeyed[queue, record.partition] = position
            return
        identity = Identity(queue, *read_state_key(key))
        seen: Seen | None
        if value is None:
            seen = None
        elif source == RETRY:
            seen = read_open(value, record.timestamp)
        else:
            seen = read_over(value)
        if seen is not None:
            place.time = max(place.time, seen.time)
        _add(into, identity, record.partition, Told(source, record.offset, seen))


_place_of = lru_cache(maxsize=50_000)(partition_of)  # keys come again


def _add(into: Batch, identity: Identity, partition: int, told: Told) -> None:
    before = into.told.get(identity)
    if before is None:
        into.told[identity] = (partition, [told])
    else:
        before[1].append(told)


def _position(value: bytes | None) -> int | None:
    """The offset that a record says; None: it says none that there is."""
    is_one = value is not None and len(value) <= _DIGITS and value.isdigit()
    return int(value) if is_one and value is not None else None


def _is_void(record: Readable, place: Place) -> bool:
    """Whether it was written under an ownership that had ended by then."""
    for name, value in record.headers:
        if name == h.EPOCH and value is not None and value.isdigit():
            its = int(value)
            if its < place.epoch:
                return True
            place.epoch = its
            return False
    return False


__all__ = [
    "COMMANDS",
    "DEAD",
    "LEDGER",
    "QUEUE",
    "RETRY",
    "Batch",
    "Identity",
    "Order",
    "Place",
    "Reader",
    "Told",
    "roles_of",
]
