"""A program with a partition's state of its own, of which every job was for a key of its own.

`build FOLDER COUNT` recovers it from a topic; `look FOLDER COUNT` opens it, as a worker that starts
again does, and decides on arrivals. Both print what they saw as one line of JSON.
"""

from __future__ import annotations

import asyncio
import json
import random
import sys
import time
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

from parts import NOW, PLACE, definition_of, envelope_of, owned_by_us, record_of

from streams import JobPayload, Unique, job
from streams.jobs.identity import JobKey
from streams.jobs.outcome import Completed
from streams.kafka.store import RocksStore
from streams.wire.envelope import Envelope, Record
from streams.wire.single import Single
from streams.wire.state import LedgerRecord, encode_ledger
from streams.worker import settle
from streams.worker.admission import attempt_of
from streams.worker.ports import Append, Store
from streams.worker.recovery import recover
from streams.worker.settlement import Settlement
from streams.worker.singling import Singling
from streams.worker.tables import Tables

HOUR_MS = 3_600_000
FETCHED = 2_000  # records at a time, as a fetch has them
LOOKS = 2_000  # at jobs of keys here and there
SAMPLE = 987_654_321  # the number of the job from whose record the others are made


class Same(JobPayload, name="idle_unique", key="k"):
    k: int


class Often(JobPayload, name="idle_throttled", key="k"):
    k: int


@job(unique=Unique(by="key", for_="1h"))
async def idle_unique(payload: Same) -> None: ...


@job(throttle="1h")
async def idle_throttled(payload: Often) -> None: ...


class Arrivals:
    """Jobs of one definition, each of a key of its own."""

    def __init__(self, handler: object, singling: Singling) -> None:
        self.definition = definition_of(handler)
        self._singling = singling
        self._name = self.definition.name
        _, self._value = encode_ledger(self.over(SAMPLE))
        self._scope = self._scope_of(SAMPLE)

    def arrival(self, n: int, id: str, offset: int, sent: int) -> tuple[Single, Record, Envelope]:
        """A job of key `n` as it comes."""
        envelope = envelope_of(self._name, id, f"{self._name}:{n}", sent)
        record = record_of(envelope, offset)
        single = self._singling.of(self.definition, record, envelope)
        assert single is not None
        return single, record, envelope

    def over(self, n: int) -> LedgerRecord:
        """What the engine keeps of the job of key `n`, which came at the offset `n` and has run."""
        single, record, envelope = self.arrival(n, f"id-{n}", n, NOW)
        key = JobKey(name=self._name, ordering_key=envelope.key, id=envelope.id)
        attempt = attempt_of(key, record, envelope, self.definition, lane=None, single=single)
        attempt.started = NOW
        turn = Settlement(at=NOW)
        settle.conclude(attempt, Completed(None), turn, PLACE, NOW)
        (ledger,) = turn.ledgers.values()
        assert ledger.single is not None and ledger.single.until == NOW + HOUR_MS
        return ledger

    def row(self, n: int) -> tuple[bytes, bytes]:
        """The same as its topic has it; made of another one's, since there are so many."""
        value = self._value.replace(self._scope, self._scope_of(n))
        value = value.replace(b",%d," % SAMPLE, b",%d," % n)
        key = JobKey(name=self._name, ordering_key=f"{self._name}:{n}", id=f"id-{n}")
        return key.encode(), value

    def _scope_of(self, n: int) -> bytes:
        rule = self.definition.single
        assert rule is not None
        scope = rule.scope(self._name, f"{self._name}:{n}", self.definition.payload_type, b"{}")
        assert scope is not None
        return scope.encode()


class Partition:
    """One partition whose jobs are of two definitions in turn."""

    def __init__(self, store: Store, start: int = 0) -> None:
        handlers = (idle_unique, idle_throttled)
        self.tables = Tables(store)
        self.owned, _ = owned_by_us(*handlers, start=start, tables=self.tables)
        self._singling = Singling(self.owned)
        self._kinds = [Arrivals(handler, self._singling) for handler in handlers]

    def of(self, n: int) -> Arrivals:
        """Jobs like that of key `n`."""
        return self._kinds[n % 2]

    def gives_way_to(self, n: int, offset: int, sent: int) -> str | None:
        """The job because of which one that comes now for key `n` is not to run."""
        single, record, _ = self.of(n).arrival(n, f"new-{offset}", offset, sent)
        mark = self._singling.first_like(single, record, Settlement())
        return None if mark is None else JobKey.decode(mark.state_key).id


class LedgerTopic:
    """A log that has nothing but so many ledger records."""

    def __init__(self, partition: Partition, count: int) -> None:
        self._jobs = partition
        self._count = count

    async def append(self, records: Sequence[Append]) -> Sequence[int]:
        raise AssertionError("there is nothing to write")

    async def read(self, topic: str, partition: int, start: int) -> AsyncIterator[Sequence[Record]]:
        for first in range(start, await self.end(topic, partition), FETCHED):
            yield [
                Record(topic, partition, n, NOW, *self._jobs.of(n).row(n), ())
                for n in range(first, min(first + FETCHED, self._count))
            ]

    async def end(self, topic: str, partition: int) -> int:
        return self._count if topic == PLACE.ledger else 0

    async def offset_at(self, topic: str, partition: int, time: int) -> int | None:
        return None

    async def trim(self, topic: str, partition: int, before: int) -> None: ...


def build(folder: Path, count: int) -> dict[str, float]:
    """Recover the state of so many keys into an empty folder."""
    began = time.monotonic()
    partition = Partition(RocksStore(folder))
    for n in (0, 7, count - 1):
        assert partition.of(n).row(n) == encode_ledger(partition.of(n).over(n))
    tables = partition.tables
    read = asyncio.run(recover(tables, LedgerTopic(partition, count), PLACE, NOW))
    assert (read, tables.counts.singles_over) == (count, count)
    seen = memory()
    tables.store.close()
    return {"seconds": time.monotonic() - began, **seen}


def look(folder: Path, count: int) -> dict[str, float]:
    """Open the state of so many keys, and decide on jobs like theirs and on others."""
    began = time.monotonic()
    partition = Partition(RocksStore(folder), start=count)
    opened = time.monotonic() - began
    tables = partition.tables
    assert (tables.counts.singles_over, tables.counts.entries) == (count, 0)
    chance = random.Random(7)
    began = time.monotonic()
    for offset in range(count, count + LOOKS):
        n = chance.randrange(count)
        # one that is sent within the hour is dropped because of the one of its key that ran
        assert partition.gives_way_to(n, offset, NOW + HOUR_MS - 1) == f"id-{n}"
        # one that is sent later is admitted, and one of a key that nobody has seen
        assert partition.gives_way_to(n, offset, NOW + HOUR_MS) is None
        assert partition.gives_way_to(count + n, offset, NOW + 1) is None
    took = time.monotonic() - began
    assert len(partition.owned.hand.singles) == 0
    # and what such a new one leaves is found like all others
    new = count + 1
    batch = tables.batch()
    batch.put_ledger(partition.of(new).over(new))
    batch.write()
    assert tables.counts.singles_over == count + 1
    assert partition.gives_way_to(new, new + 1, NOW + 1) == f"id-{new}"
    seen = memory()
    tables.store.close()
    return {"opened": opened, "look_us": took / (3 * LOOKS) * 1e6, **seen}


def memory() -> dict[str, float]:
    """What this process has in memory, and the most it had, in MB."""
    lines = Path("/proc/self/status").read_text().splitlines()
    told = dict(line.split(":", 1) for line in lines)
    return {
        name: int(told[field].split()[0]) / 1024
        for name, field in (("rss", "VmRSS"), ("peak", "VmHWM"))
    }


if __name__ == "__main__":
    what, folder, count = sys.argv[1:]
    do = {"build": build, "look": look}[what]
    print(json.dumps(do(Path(folder), int(count))))
