"""What was read of a partition, kept on disk and given back slice by slice."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import astuple
from typing import Any, Protocol

from streams.audit.life import Ending, Entry
from streams.audit.said import Queued, Said
from streams.audit.since import Row
from streams.audit.spill import Spill


class Takes(Protocol):
    """Who takes what was read, in this order."""

    def expect(self, row: Row) -> None:
        """What was not over at the last checkpoint."""
        ...

    def stand(self, key: bytes, offset: int) -> None:
        """A record that the checkpoint had read is still in the retry topic."""
        ...

    def take_retry(self, said: Said) -> None:
        """A record of the retry topic that counts."""
        ...

    def take_ledger(self, said: Said) -> None:
        """A record of the ledger that counts."""
        ...

    def take_queued(self, queued: Queued) -> None:
        """A record of the queue."""
        ...


class Slices:
    """Takes all of it, and gives each slice in the same order."""

    def __init__(self, spill: Spill) -> None:
        self._spill = spill

    def expect(self, row: Row) -> None:
        """What was not over at the last checkpoint."""
        self._spill.put(row.key, ("expect", *astuple(row)))

    def stand(self, key: bytes, offset: int) -> None:
        """A record that the checkpoint had read is still in the retry topic."""
        self._spill.put(key, ("stand", key, offset))

    def take_retry(self, said: Said) -> None:
        """A record of the retry topic that counts."""
        self._spill.put(said.key, ("retry", *_plain(said)))

    def take_ledger(self, said: Said) -> None:
        """A record of the ledger that counts."""
        self._spill.put(said.key, ("ledger", *_plain(said)))

    def take_queued(self, queued: Queued) -> None:
        """A record of the queue."""
        self._spill.put(queued.key, ("queued", *queued))

    def feed(self, number: int, taker: Takes) -> None:
        """Give one slice to somebody."""
        for kind, *values in self._spill.read(number):
            match kind:
                case "expect":
                    taker.expect(Row(**dict(zip(_ROW, values, strict=True))))
                case "stand":
                    taker.stand(*values)
                case "retry":
                    taker.take_retry(_said(values))
                case "ledger":
                    taker.take_ledger(_said(values))
                case _:
                    taker.take_queued(Queued(*values))


class OldSlices:
    """Likewise of records of the ledger alone."""

    def __init__(self, spill: Spill) -> None:
        self._spill = spill

    def put(self, said: Said) -> None:
        """Keep one."""
        self._spill.put(said.key, _plain(said))

    def read(self, number: int) -> Iterator[Said]:
        """One slice."""
        return map(_said, self._spill.read(number))


def _plain(said: Said) -> tuple[Any, ...]:
    entry = None if said.entry is None else tuple(said.entry)
    ending = None if said.ending is None else tuple(said.ending)
    return (*said[:5], entry, ending, said.error)


def _said(values: Any) -> Said:
    key, offset, timestamp, epoch, time, entry, ending, error = values
    return Said(
        key,
        offset,
        timestamp,
        epoch,
        time,
        None if entry is None else Entry(*entry),
        None if ending is None else Ending(*ending),
        error,
    )


_ROW = tuple(Row.__dataclass_fields__)
