"""The jobs of one partition, put together from the records of its topics."""

from __future__ import annotations

from collections.abc import Iterator

from streams.audit.fault import NOT_READABLE, SETTLED_TWICE, Fault
from streams.audit.life import Life, Removal, read_ending, read_entry
from streams.errors import UndecodableRecord
from streams.wire.envelope import Record
from streams.worker.recovery import epoch_of
from streams.worker.tables import COMMITTED


class Epochs:
    """Says which records of a state topic count: as for a recovery, none of an earlier owner."""

    def __init__(self, latest: int = 0) -> None:
        self.latest = latest

    def is_void(self, record: Record) -> bool:
        """Whether it was written under an ownership that had ended by then."""
        its = epoch_of(record)
        if its is None:
            return False
        if its < self.latest:
            return True
        self.latest = its
        return False


class Lives:
    """Takes records of the retry topic, then those of the ledger, then those of the queue."""

    def __init__(self) -> None:
        self.commit = 0  # of the queue, as state keeps it
        self.ended_to = 0  # nothing of what was taken from the ledger ended later
        self.faults: list[Fault] = []
        self.removed: dict[bytes, Removal] = {}  # ledger tombstones of what was recorded before
        self._latest: dict[bytes, Life] = {}

    def __iter__(self) -> Iterator[tuple[bytes, Life]]:
        """All of them, each with the key of its state."""
        for key, life in self._latest.items():
            each: Life | None = life
            while each is not None:
                yield key, each
                each = each.earlier

    def of(self, key: bytes) -> Iterator[Life]:
        """All lives of one identity."""
        life = self._latest.get(key)
        while life is not None:
            yield life
            life = life.earlier

    def at(self, key: bytes, time: int) -> Life | None:
        """The life that began then."""
        life = self._latest.get(key)
        while life is not None and life.time != time:
            life = life.earlier
        return life

    def begin(self, key: bytes, time: int) -> Life:
        """The life that began then, a new one if need be."""
        life = self.at(key, time)
        if life is None:
            life = self._latest[key] = Life(time, self._latest.get(key))
        return life

    def take_retry(self, record: Record) -> None:
        """A record of the retry topic that counts."""
        key = record.key or b""
        if key[:1] == b"#":
            if key == COMMITTED and (record.value or b"0").isdigit():
                self.commit = int(record.value or b"0")
            return
        if record.value is None:
            self._close(key, record)
            return
        try:
            time, entry = read_entry(record.value)
        except UndecodableRecord as error:
            self._complain(NOT_READABLE, record, str(error))
            return
        if key in self._latest:
            self._close(key, record, but=time)
        life = self.begin(key, time)
        life.entry, life.closed = entry, None

    def _close(self, key: bytes, record: Record, *, but: int | None = None) -> None:
        """What was open of an identity is not any more; what opens in its place is."""
        for life in self.of(key):
            if life.entry is not None and life.time != but:
                life.closed = (life.entry, Removal(record.offset, record.timestamp))
                life.entry = None

    def take_ledger(self, record: Record) -> None:
        """A record of the ledger that counts."""
        key = record.key or b""
        if key[:1] == b"#":
            return
        if record.value is None:
            self._remove(key, record)
            return
        try:
            time, ending = read_ending(record.value, epoch_of(record) or 0)
        except UndecodableRecord as error:
            self._complain(NOT_READABLE, record, str(error))
            return
        self.removed.pop(key, None)
        self.ended_to = max(self.ended_to, ending.ended)
        life = self.begin(key, time)
        before = life.ending
        if before is not None and before.generation == ending.generation:
            if before.digest != ending.digest:
                self._complain(SETTLED_TWICE, record, f"first {before.state}, then {ending.state}")
            life.removed = None
            return
        life.ending, life.removed = ending, None

    def _remove(self, key: bytes, record: Record) -> None:
        removal = Removal(record.offset, record.timestamp)
        lives = [life for life in self.of(key) if life.ending is not None]
        if lives:  # of an identity the topic keeps the last one
            life = max(lives, key=lambda life: life.time)
            assert life.ending is not None
            if (epoch_of(record) or 0) > life.ending.epoch:
                # What an earlier owner wrote late, before the next one had said that it is there,
                # is taken back by that one.
                life.ending = None
            else:
                life.removed = removal
        else:
            self.removed[key] = removal

    def take_older(self, record: Record) -> None:
        """A record of the ledger that the last checkpoint has counted."""
        key = record.key or b""
        if record.value is None:
            for life in self.of(key):
                if life.is_old:
                    life.ending, life.is_old, life.old = None, False, None
            return
        try:
            time, ending = read_ending(record.value)
        except UndecodableRecord:
            return  # it was told then
        life = self.begin(key, time)
        newer = None if life.is_old else life.ending
        life.is_old, life.old = True, ending
        if newer is None:
            life.ending = ending
            life.removed = self.removed.get(key)
        elif newer.generation == ending.generation and newer.digest != ending.digest:
            self._complain(SETTLED_TWICE, record, f"first {ending.state}, then {newer.state}")

    def _complain(self, why: str, record: Record, detail: str) -> None:
        self.faults.append(
            Fault(
                why=why,
                partition=record.partition,
                key=record.key or b"",
                offset=record.offset,
                detail=f"{record.topic}: {detail}",
            )
        )
