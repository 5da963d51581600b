"""Jobs as a busy installation has them: of several names and keys, in all states, with errors."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from streams.dev.bench import load
from streams.jobs.identity import JobKey
from streams.jobs.outcome import Failure
from streams.jobs.states import State
from streams.wire import headers as h
from streams.wire.envelope import Envelope, encode
from streams.wire.partition import partition_of
from streams.wire.state import AttemptRecord, LedgerRecord, OpenEntry, encode_ledger, encode_open

NAMES: Final = tuple(
    f"shop.orders.{name}"
    for name in ("confirm", "invoice", "notify", "pack", "refund", "resize", "welcome")
)
ERRORS: Final = ("ConnectionError", "KeyError", "SMTPServerDisconnected", "TimeoutError")
KEYS: Final = 50_000
_OF_100: Final = (
    *[State.COMPLETED] * 90,
    *[State.CANCELLED] * 1,
    *[State.DISCARDED] * 1,
    *[State.DEAD] * 3,
    *[State.RETRYING] * 2,
    *[State.SCHEDULED] * 2,
    State.RUNNING,
)
_OPEN: Final = (State.DEAD, State.RETRYING, State.SCHEDULED, State.RUNNING)
_WAITING_SHARE: Final = 50  # one of so many waits still in its queue
_SPREAD_MS: Final = 12 * 60 * 60 * 1000
_EPOCH: Final = [(h.EPOCH, b"1")]


@dataclass(slots=True)
class JobMix:
    """So many jobs, that were sent in the hours before `now`."""

    jobs: int
    now: int
    partitions: int
    settled: dict[int, int] = field(default_factory=dict)  # of each partition's queue
    records: int = 0
    _places: dict[str, int] = field(default_factory=dict)

    def sent(self) -> Iterator[load.Placed]:
        """What the queue has."""
        for n in range(self.jobs):
            id_, name, key, time = self.job(n)
            envelope = Envelope(
                id=id_,
                name=name,
                source="shop",
                time=time,
                payload=b'{"order":%d,"email":"user-%d@example.org"}' % (n, n % KEYS),
                queue="default",
                key=key,
                traceparent="00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            )
            place = self._place(key or id_)
            if state_of(n, self.jobs) is not State.QUEUED:
                self.settled[place] = self.settled.get(place, 0) + 1
            self.records += 1
            yield place, encode(envelope)

    def over(self) -> Iterator[load.Placed]:
        """What the ledger has."""
        for n in range(self.jobs):
            state = state_of(n, self.jobs)
            if state in _OPEN or state is State.QUEUED:
                continue
            id_, name, key, time = self.job(n)
            attempt = AttemptRecord(
                attempt=1, started=time + 20, ended=time + 30, worker="w-1", outcome="completed"
            )
            record = LedgerRecord(
                job=JobKey(name=name, ordering_key=key, id=id_),
                state=state,
                time=time,
                generation=0,
                run=0,
                attempts=1,
                ended=time + 30,
                reason="" if state is State.COMPLETED else "not wanted any more",
                history=(attempt,),
            )
            self.records += 1
            yield self._place(key or id_), (*encode_ledger(record), _EPOCH)

    def open(self) -> Iterator[load.Placed]:
        """What the retry topic has, and up to where queues are settled."""
        for n in range(self.jobs):
            state = state_of(n, self.jobs)
            if state not in _OPEN:
                continue
            id_, name, key, time = self.job(n)
            error = ERRORS[n // 100 % len(ERRORS)]
            failure = Failure(type=error, message=f"order {n}: no answer", trace="")
            entry = OpenEntry(
                job=JobKey(name=name, ordering_key=key, id=id_),
                state=state,
                time=time,
                generation=0,
                run=0,
                attempts=0 if state is State.SCHEDULED else 1,
                arrival=n,
                due=self.now + 60_000,
                blocks=False,
                record_key=None,
                headers=(),
                payload=b'{"order":%d}' % n,
                failure=failure if state in (State.DEAD, State.RETRYING) else None,
                died=time + 30 if state is State.DEAD else None,
            )
            self.records += 1
            yield self._place(key or id_), (*encode_open(entry), _EPOCH)
        for place, offset in self.settled.items():
            self.records += 1
            yield place, (b"#committed", str(offset).encode(), _EPOCH)

    def job(self, n: int) -> tuple[str, str, str | None, int]:
        """Id, name, key and time of job `n`; a fifth of them are unordered."""
        time = self.now - _SPREAD_MS + n * _SPREAD_MS // self.jobs
        name = NAMES[n % len(NAMES)]
        digits = f"{time:012x}7{n % 4096:03x}8{n:015x}"
        id_ = f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"
        return id_, name, None if n % 5 == 0 else f"{name}:{n * 7919 % KEYS}", time

    def _place(self, key: str) -> int:
        place = self._places.get(key)
        if place is None:
            place = partition_of(key.encode(), self.partitions)
            if len(self._places) < KEYS * len(NAMES):
                self._places[key] = place
        return place


def state_of(n: int, jobs: int) -> State:
    """How job `n` of so many is: the last ones wait in their queue."""
    return _OF_100[n * 37 % 100] if n < jobs - jobs // _WAITING_SHARE else State.QUEUED


def some_id() -> str:
    """An id that no job has."""
    return f"none-{os.urandom(8).hex()}"
