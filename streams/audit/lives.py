"""The jobs of one partition, put together from the records of its topics."""

from __future__ import annotations

from collections.abc import Iterator

from streams.audit.fault import NOT_READABLE, SETTLED_TWICE, Fault
from streams.audit.life import Ending, Life, Removal
from streams.audit.said import Said
from streams.wire.envelope import Record
from streams.worker.recovery import epoch_of


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

    def take_retry(self, said: Said) -> None:
        """A record of the retry topic that counts."""
        if said.error:
            self._complain(NOT_READABLE, said, f"in the retry topic: {said.error}")
        elif said.entry is None:
            self._close(said)
        else:
            if said.key in self._latest:
                self._close(said, but=said.time)
            life = self.begin(said.key, said.time)
            life.entry, life.entry_at, life.closed = said.entry, said.offset, None
            life.stands = True

    def _close(self, said: Said, *, but: int | None = None) -> None:
        """What was open of an identity is not any more; what opens in its place is."""
        for life in self.of(said.key):
            if life.entry is not None and life.time != but:
                life.closed = (life.entry, Removal(said.offset, said.timestamp))
                life.entry = None

    def take_ledger(self, said: Said) -> None:
        """A record of the ledger that counts."""
        ending = said.ending
        if said.error:
            self._complain(NOT_READABLE, said, f"in the ledger topic: {said.error}")
        elif ending is None:
            self._remove(said)
        else:
            self._end(said, ending)

    def _end(self, said: Said, ending: Ending) -> None:
        self.removed.pop(said.key, None)
        self.ended_to = max(self.ended_to, ending.ended)
        life = self.begin(said.key, said.time)
        before = life.ending
        if before is not None and before.generation == ending.generation:
            if before.digest != ending.digest:
                self._complain(SETTLED_TWICE, said, f"first {before.state}, then {ending.state}")
            life.removed = None
            return
        life.ending, life.removed = ending, None

    def _remove(self, said: Said) -> None:
        removal = Removal(said.offset, said.timestamp)
        lives = [life for life in self.of(said.key) if life.ending is not None]
        if lives:  # of an identity the topic keeps the last one
            life = max(lives, key=lambda life: life.time)
            assert life.ending is not None
            if said.epoch > life.ending.epoch:
                # What an earlier owner wrote late, before the next one had said that it is there,
                # is taken back by that one.
                life.ending = None
            else:
                life.removed = removal
        else:
            self.removed[said.key] = removal

    def take_older(self, said: Said) -> None:
        """A record of the ledger that the last checkpoint has counted."""
        if said.error:
            return  # it was told then
        ending = said.ending
        if ending is None:
            for life in self.of(said.key):
                if life.is_old:
                    life.ending, life.is_old, life.old = None, False, None
            return
        life = self.begin(said.key, said.time)
        newer = None if life.is_old else life.ending
        life.is_old, life.old = True, ending
        if newer is None:
            life.ending = ending
            life.removed = self.removed.get(said.key)
        elif newer.generation == ending.generation and newer.digest != ending.digest:
            self._complain(SETTLED_TWICE, said, f"first {ending.state}, then {newer.state}")

    def _complain(self, why: str, said: Said, detail: str) -> None:
        self.faults.append(Fault(why=why, key=said.key, offset=said.offset, detail=detail))
