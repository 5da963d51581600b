"""Whatever Faust drops between fetch and engine: each reader gets every record, in order."""

from __future__ import annotations

import random
from dataclasses import dataclass, field

from streams.kafka.reading import Batch, Reading

PLACE = "queue/0"


@dataclass(frozen=True)
class Record:
    offset: int


@dataclass
class Reader:
    position: int
    wants_more: bool = True
    taken: list[int] = field(default_factory=list)

    def take(self, batch: Batch) -> None:
        offsets = [record.offset for record in batch.records]
        self.taken += [offset for offset in offsets if offset >= self.position]
        self.position = max(self.position, offsets[-1] + 1)


class Consumer:
    """A consumer as aiokafka and Faust are, with the log of one partition and its readers."""

    def __init__(self, chance: random.Random) -> None:
        self.chance = chance
        self.log: list[int] = []
        self.end = 0
        self.position = 0  # aiokafka's
        self.committed = 0
        self.reading: Reading[str] = Reading()
        self.reader = Reader(0)
        self.begin = 0  # of the reader
        self.asks = False  # a fetch is on its way
        self.fetched: list[Record] = []
        self.buffered: list[Batch] = []

    def append(self) -> None:
        """Records, behind some that were compacted away or belong to an aborted transaction."""
        self.end += self.chance.randrange(3)
        count = self.chance.randrange(1, 4)
        self.log += range(self.end, self.end + count)
        self.end += count

    def ask(self) -> None:
        """The loop seeks where it must, then a fetch is on its way."""
        if not self.asks:
            self.asks = True
            readers = {PLACE: self.reader}
            positions = self.reading.to_seek(readers)
            self.reading.sought(readers, positions)
            self.position = positions.get(PLACE, self.position)

    def fetch(self) -> None:
        """In its own thread, the consumer moves on as soon as it has something."""
        if self.asks and not self.fetched:
            behind = [Record(offset) for offset in self.log if offset >= self.position]
            self.fetched = behind[: self.chance.randrange(1, 4)]
            if self.fetched:
                self.position = self.fetched[-1].offset + 1

    def return_(self) -> None:
        if self.asks:
            if self.fetched and (batch := self.reading.fetched(PLACE, self.fetched)):
                self.buffered.append(batch)
            self.asks, self.fetched = False, []

    def deliver(self) -> None:
        if self.buffered:
            batch = self.buffered.pop(0)
            if batch.follows(self.reader):
                self.reader.take(batch)
                self.judge()
            else:
                self.reading.again([PLACE])

    def rebalance(self) -> None:
        """The partition comes back, to its reader or to another one."""
        if self.chance.random() < 0.5:
            self.committed = self.reader.position
        self.position = self.committed
        if self.chance.random() < 0.5:
            self.buffered = []
        if self.chance.random() < 0.5:
            # Its state may know of a later commit than the group, never of an earlier one.
            self.begin = self.committed + self.chance.randrange(4)
            self.reader = Reader(self.begin)

    def stop_fetching(self) -> None:
        """The loop is cancelled, perhaps with a batch in hand, and started again."""
        self.asks, self.fetched = False, []
        self.reading.again()

    def judge(self) -> None:
        """Nothing is missing in what the reader has."""
        due = [offset for offset in self.log if self.begin <= offset < self.reader.position]
        assert self.reader.taken == due

    def run(self) -> None:
        usual = [self.append, self.ask, self.fetch, self.return_, self.deliver]
        for _ in range(60):
            rare = self.chance.choice([self.rebalance, self.rebalance, self.stop_fetching])
            self.chance.choice([*usual, *usual, rare])()
        for _ in range(3 * len(self.log) + 3):  # left alone, it gets everything
            for step in (self.ask, self.fetch, self.return_, *[self.deliver] * 3):
                step()
        assert self.reader.taken == [offset for offset in self.log if offset >= self.begin]


def test_readers_get_everything_whatever_is_dropped() -> None:
    for seed in range(2_000):
        Consumer(random.Random(seed)).run()


def test_the_pieces_of_a_batch_follow_each_other_also_where_offsets_are_missing():
    batch = Batch(3, [Record(offset) for offset in (5, 6, 9, 12, 13)])
    pieces = list(batch.parts(2))
    assert [[each.offset for each in piece.records] for piece in pieces] == [[5, 6], [9, 12], [13]]
    assert [piece.start for piece in pieces] == [3, 7, 13]
    reader = Reader(3)
    for piece in pieces:
        assert piece.follows(reader)
        reader.take(piece)
    assert not pieces[2].follows(Reader(7))  # what is between them is missing
