"""A projection of schedules in which everything goes wrong: the same in whatever order it reads."""

from __future__ import annotations

import random
import sqlite3
from typing import Any

import pytest

from streams.errors import UndecodableRecord
from streams.jobs.identity import JobKey
from streams.projection.batch import COMMANDS, LEDGER, QUEUE, RETRY, Batch, Identity, Reader
from streams.projection.numbers import counts
from streams.projection.row import COLUMNS, Row
from streams.projection.states import NAMES
from streams.projection.store import Store, connect
from streams.testing import workload
from streams.testing.schedule import Schedule, Size
from streams.testing.simulator import quietly
from streams.testing.workload import QUEUE as NAME
from streams.testing.world import World
from streams.wire.envelope import Record, decode
from streams.wire.state import LedgerRecord, OpenEntry, decode_ledger, decode_open
from streams.worker.recovery import epoch_of

Topics = dict[tuple[str, int], list[Record]]


def _run(seed: int) -> tuple[World, Topics]:
    """The topics of the end of a schedule, in the middle of it for every third seed."""
    world = World(seed)
    workload.current[:] = [world]
    taken: list[Topics] = []

    def take() -> None:
        taken.append(
            {
                place: list(records)
                for place, records in world.log.topics.items()
                if place[0] in _roles(world)
            }
        )

    with quietly():
        try:
            schedule = Schedule(world, Size())
            schedule.arrange()
            if seed % 3 == 0:
                world.loop.call_at(world.loop.time() + random.Random(seed).uniform(1, 30), take)
            world.loop.run()
            schedule.replay_some(0.5)
            world.loop.run()
            take()
        finally:
            workload.current.clear()
            world.loop.close()
    return world, taken[0]


def _roles(world: World) -> dict[str, tuple[str, int]]:
    names = world.names
    return {
        names.queue(NAME): (NAME, QUEUE),
        names.retry(NAME): (NAME, RETRY),
        names.ledger(NAME): (NAME, LEDGER),
        names.commands(NAME): (NAME, COMMANDS),
    }


def _projected(world: World, topics: Topics, rng: random.Random) -> tuple[Store, Any]:
    """A projection that reads the partitions in turn, by chance, as much as chance gives."""
    db = connect(None, is_writer=True)
    store = Store(db)
    reader = Reader(_roles(world), store.places())
    left = {place: list(records) for place, records in topics.items() if records}
    while left:
        batch = Batch()
        for _ in range(rng.randint(1, 5)):
            if left:
                place = rng.choice(sorted(left))
                number = rng.choice((1, 3, 20, 1_000))
                reader.read(left[place][:number], batch)
                left[place] = left[place][number:]
                if not left[place]:
                    del left[place]
        store.apply(batch)
        if rng.random() < 0.1:
            reader = Reader(_roles(world), store.places())  # started again
    store.sweep(dict(store.commits))
    return store, db


def _rows(db: sqlite3.Connection) -> dict[Identity, Row]:
    kinds = {kind: (queue, name) for kind, queue, name in db.execute("select * from kinds")}
    rows = map(Row.of, db.execute(f"select {', '.join(COLUMNS)} from jobs"))
    return {Identity(*kinds[row.kind], row.key, row.id): row for row in rows}


def _shown(row: Row) -> tuple[Any, ...]:
    return tuple(
        getattr(row, name) for name in COLUMNS if name not in ("n", "kind", "error", "unique_until")
    )


def _true(world: World, topics: Topics) -> dict[bytes, tuple[str, int, str | None]]:
    """By state key: state, attempts and error of what state says last; None: it says nothing."""
    entries: dict[bytes, OpenEntry | None] = {}
    ledgers: dict[bytes, LedgerRecord] = {}
    for (topic, _), records in topics.items():
        epoch = 0
        for record in records:
            key, its = record.key or b"", epoch_of(record)
            if topic == world.names.queue(NAME) or key[:1] == b"#":
                epoch = epoch if its is None else max(its, epoch)
                continue
            if its is not None and its < epoch:
                continue
            epoch = its or epoch
            if topic == world.names.commands(NAME):
                continue
            if topic == world.names.retry(NAME):
                entries[key] = None if record.value is None else decode_open(key, record.value)
            elif record.value is None:
                ledgers.pop(key, None)
            else:
                ledgers[key] = decode_ledger(key, record.value)
    found: dict[bytes, tuple[str, int, str | None]] = {}
    for key in entries.keys() | ledgers.keys():
        entry, ledger = entries.get(key), ledgers.get(key)
        if entry is not None and (ledger is None or ledger.position < entry.position):
            found[key] = (entry.told, entry.attempts, entry.failure and entry.failure.type)
        elif ledger is not None:
            found[key] = (ledger.state, ledger.attempts, ledger.failure and ledger.failure.type)
    return found


@pytest.mark.parametrize("first", range(0, 60, 20))
def test_it_is_the_same_in_whatever_order_it_reads_and_says_what_state_says(first: int):
    were_asked = 0
    for seed in range(first, first + 20):
        # given the topics of a schedule with crashes, late writes, rebalances and purges
        world, topics = _run(seed)
        truth = _true(world, topics)
        were_asked += sum(len(topics[of]) for of in topics if of[0] == world.names.commands(NAME))

        # when several projections read them in orders of their own
        shown = []
        for order in range(3):
            store, db = _projected(world, topics, random.Random(seed * 10 + order))
            rows = _rows(db)
            asked = db.execute("select * from asked order by queue, partition, offset").fetchall()
            shown.append((asked, {identity: _shown(row) for identity, row in rows.items()}))

            # then each says of every job what state says
            errors = {number: type_ for type_, number in store.errors.items()}
            for key, (state, attempts, error) in truth.items():
                job = JobKey.decode(key)
                row = rows[Identity(NAME, job.name, job.ordering_key, job.id)]
                its = (NAMES[row.state], row.attempts, row.error and errors[row.error])
                assert its == (state, attempts, error), (seed, order, job)

            # and knows every job that was sent
            for (topic, _), records in topics.items():
                if topic == world.names.queue(NAME):
                    for record in records:
                        try:
                            sent = decode(record)
                        except UndecodableRecord:
                            continue
                        assert Identity(NAME, sent.name, sent.key, sent.id) in rows

            # and has counted them
            numbers: dict[tuple[str, str], int] = {}
            for identity, row in rows.items():
                each = (identity.name, NAMES[row.state])
                numbers[each] = numbers.get(each, 0) + 1
            assert {(c.name, c.state): c.number for c in counts(db)} == numbers
            db.close()
        assert shown[0] == shown[1] == shown[2], seed
    assert were_asked  # or this shows nothing of commands
