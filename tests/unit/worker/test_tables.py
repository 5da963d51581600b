"""The state of a partition: its counts and indexes are what a recount of its entries says."""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from unittest import mock

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from parts import NOW, entry_of, ledger_of

from streams.errors import UndecodableRecord
from streams.jobs.identity import JobKey
from streams.jobs.single import Kind
from streams.jobs.states import State
from streams.kafka.store import RocksStore
from streams.testing.memory import MemoryStore
from streams.wire.single import FOREVER, Single
from streams.wire.state import (
    LedgerRecord,
    OpenEntry,
    decode_head,
    decode_ledger,
    decode_open,
    encode_ledger,
    encode_open,
    head_of,
)
from streams.worker import recent
from streams.worker.ports import Store
from streams.worker.single_index import SINGLE, Mark
from streams.worker.tables import (
    AT_WORK,
    COMMANDS_READ,
    COMMITTED,
    DUE,
    HELD,
    LANE,
    Tables,
    due_row,
    held_row,
)

COMMANDS = "jobs.default.commands"
OPEN_STATES = [
    State.SCHEDULED,
    State.RUNNING,
    State.RETRYING,
    State.PARKED,
    State.SLEEPING,
    State.DEAD,
]
# Lanes of which one is the beginning of another, and one of which is no text.
LANES = [None, b"a", b"ab", b"a\x00", b"\xff"]
LIMITS = ["a", "ab", "rate:x:\xff"]  # of which one is the beginning of another
JOBS = [
    JobKey(name=name, ordering_key=None if lane is None else lane.decode("latin-1"), id=id)
    for lane in LANES
    for name, id in (("x", "1"), ("y", "1"), ("x", "2"))
]


# Scopes of which one is the beginning of another.
SCOPES = ["s", "s1", "ß"]
SINGLES = st.none() | st.builds(
    Single,
    scope=st.sampled_from(SCOPES),
    kind=st.sampled_from(list(Kind)),
    arrival=st.integers(0, 9),
    until=st.integers(0, 20),
)


@st.composite
def entries(draw: st.DrawFn) -> OpenEntry:
    job = draw(st.sampled_from(JOBS))
    return entry_of(
        job,
        state=draw(st.sampled_from(OPEN_STATES)),
        arrival=draw(st.integers(0, 300)),
        due=draw(st.none() | st.integers(0, 2**40)),
        blocks=draw(st.booleans()),
        held=draw(st.none() | st.sampled_from(LIMITS)),
        payload=draw(st.binary(max_size=5)),
        record_key=b"id" if job.ordering_key is None else job.ordering_key.encode("latin-1"),
        single=draw(SINGLES),
        run=draw(st.integers(0, 1)),
        attempts=draw(st.integers(0, 1)),
    )


MOVES = st.one_of(
    entries(),
    st.tuples(st.just("applied"), entries()),  # as its topic has it
    st.sampled_from(JOBS),  # its entry is dropped
    st.builds(ledger_of, st.sampled_from(JOBS), run=st.integers(0, 3), single=SINGLES),
    st.tuples(st.just("forgotten"), st.sampled_from(JOBS)),  # its ledger record is trimmed
    st.tuples(
        st.just("applied"),
        st.builds(ledger_of, st.sampled_from(JOBS), single=SINGLES),
    ),
    st.just("write"),
    st.just("forget"),  # a turn that fails: its batch is never written
    st.just("reopen"),
)


class Model:
    """Tables, and the plain dictionaries that they have to agree with."""

    def __init__(self, open_store: Callable[[], Store]) -> None:
        self._open_store = open_store
        self.tables = Tables(open_store())
        self.batch = self.tables.batch()
        self.open: dict[bytes, OpenEntry] = {}
        self.ledger: dict[bytes, LedgerRecord] = {}
        self.arrivals_end = 0
        self._then = (dict(self.open), dict(self.ledger), 0)  # as of the last write

    def do(self, move: object) -> None:
        match move:
            case OpenEntry():
                self.batch.put_open(move)
                self.open[move.job.encode()] = move
                self.arrivals_end = max(self.arrivals_end, move.arrival + 1)
            case ("applied", OpenEntry() as entry):
                assert self.batch.apply_retry(*encode_open(entry), COMMANDS)
                self.open[entry.job.encode()] = entry
                self.arrivals_end = max(self.arrivals_end, entry.arrival + 1)
            case ("applied", LedgerRecord() as record):
                assert self.batch.apply_ledger(*encode_ledger(record))
                self.ledger[record.job.encode()] = record
            case ("forgotten", JobKey() as job):
                self.batch.drop_ledger(job.encode())
                self.ledger.pop(job.encode(), None)
            case JobKey():
                self.batch.drop_open(move.encode())
                self.open.pop(move.encode(), None)
            case LedgerRecord():
                self.batch.put_ledger(move)
                self.ledger[move.job.encode()] = move
            case "write":
                self.batch.write()
                self.batch = self.tables.batch()
                self._then = (dict(self.open), dict(self.ledger), self.arrivals_end)
                self.check()
            case "forget" | "reopen":
                if move == "reopen":
                    self.tables.store.close()
                    self.tables = Tables(self._open_store())
                self.batch = self.tables.batch()
                open_, ledger, self.arrivals_end = self._then
                self.open, self.ledger = dict(open_), dict(ledger)
                self.check()

    def check(self) -> None:
        tables, open_ = self.tables, self.open
        counts = tables.counts
        blockers = [e for e in open_.values() if e.blocks and e.job.ordering_key is not None]
        bounded = [
            e
            for e in open_.values()
            if e.state not in (State.DEAD, State.SCHEDULED, State.SLEEPING)
        ]
        assert counts.entries == len(open_)
        assert counts.blocking == len(blockers)
        assert counts.bounded == len(bounded)
        assert counts.bounded_bytes == sum(len(e.payload) for e in bounded)
        assert counts.arrivals_end == self.arrivals_end
        assert counts.held == sum(e.held is not None for e in open_.values())
        assert {s: n for s, n in counts.states.items() if n} == Counter(
            e.state for e in open_.values()
        )
        for job in JOBS:
            assert tables.open(job.encode()) == open_.get(job.encode())
            assert tables.ledger(job.encode()) == self.ledger.get(job.encode())
        assert {e.job.encode(): e for e in tables.entries()} == open_
        self._check_due()
        self._check_held()
        self._check_lanes(blockers)
        self._check_singles()

    def _check_due(self) -> None:
        tables = self.tables
        rows = sorted(
            due_row(e.due, e.job.encode()) for e in self.open.values() if e.due is not None
        )
        assert [row for row, _ in tables.store.scan(DUE, b"", None)] == rows
        times = sorted(e.due for e in self.open.values() if e.due is not None)
        assert tables.next_due(b"") == (times[0] if times else None)
        for time in times[:3]:
            due = list(tables.due_from(b"", time))
            assert [row for row, _ in due] == rows[: sum(t <= time for t in times)]
            assert all(self.open[key].due == t for (_, key), t in zip(due, times, strict=False))

    def _check_held(self) -> None:
        tables = self.tables
        held = {e.held for e in self.open.values() if e.held is not None}
        assert {limit for limit, _ in tables.limits()} == held
        for limit, first in tables.limits():
            of_limit = sorted(
                (e for e in self.open.values() if e.held == limit),
                key=lambda e: (e.arrival, e.job.encode()),
            )
            keys = [key for _, key in tables.held_by(limit, b"")]
            assert keys == [e.job.encode() for e in of_limit]
            assert keys[0] == first
            rest = [key for _, key in tables.held_by(limit, held_row(limit, 100, b""))]
            assert rest == [e.job.encode() for e in of_limit if e.arrival >= 100]
        if not held:
            assert list(tables.store.scan(HELD, b"", None)) == []

    def _check_singles(self) -> None:
        tables = self.tables
        over = [(key, r.single) for key, r in self.ledger.items() if r.single is not None]
        open_ = [(key, head_of(e).single) for key, e in self.open.items()]
        counted = [*over, *((key, single) for key, single in open_ if single is not None)]
        assert tables.counts.singles_over == len(over)
        assert len(list(tables.store.scan(SINGLE, b"", None))) == len(counted)
        for scope in SCOPES:
            for sent in (0, 7, 20, FOREVER - 1):
                marks = list(tables.marks(scope, sent))
                assert [m.until for m in marks] == sorted((m.until for m in marks), reverse=True)
                expected = {
                    Mark(state_key=key, arrival=s.arrival, until=until)
                    for key, s in counted
                    if s.scope == scope
                    and (until := FOREVER if s.until is None else s.until) > sent
                }
                assert set(marks) == expected

    def _check_lanes(self, blockers: list[OpenEntry]) -> None:
        tables = self.tables
        assert len(list(tables.store.scan(LANE, b"", None))) == len(blockers)
        heads = [lane for _, lane in tables.lane_heads(b"")]
        assert len(heads) == len(set(heads))
        assert set(heads) == {e.record_key for e in blockers}
        for lane in LANES:
            if lane is None:
                continue
            # what has started comes before what waits, then the order of arrival counts
            of_lane = sorted(
                (e for e in blockers if e.record_key == lane),
                key=lambda e: (e.state is State.PARKED, e.arrival, e.job.encode()),
            )
            assert list(tables.blockers(lane)) == of_lane
            assert tables.is_blocked(lane) == bool(of_lane)


def run(script: list[object], open_store: Callable[[], Store]) -> None:
    model = Model(open_store)
    for move in script:
        model.do(move)
    model.do("write")
    model.do("reopen")
    for job in JOBS:
        model.do(job)
        model.do(("forgotten", job))
    model.do("write")
    assert not list(model.tables.store.scan(SINGLE, b"", None))
    assert model.tables.counts.entries == model.tables.counts.blocking == 0
    model.tables.store.close()


@settings(deadline=None, max_examples=60)
@given(st.lists(MOVES, min_size=10, max_size=40), st.sampled_from([2, 5, recent.ENTRIES_MAX]))
def test_counts_and_indexes_are_a_recount_in_memory(script: list[object], kept: int) -> None:
    disk = MemoryStore()
    with mock.patch.object(recent, "ENTRIES_MAX", kept):
        run(script, lambda: disk)


@settings(deadline=None, max_examples=10)
@given(st.lists(MOVES, min_size=10, max_size=40))
def test_counts_and_indexes_are_a_recount_in_rocksdb(script: list[object]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        run(script, lambda: RocksStore(Path(folder) / "store"))


JOB = JOBS[3]


def test_of_a_job_that_is_over_its_record_counts_whatever_becomes_of_its_entry() -> None:
    # given both, with the same time, as a crash may leave them
    tables = Tables(MemoryStore())
    single = Single(scope="s", kind=Kind.THROTTLE, arrival=1, until=NOW)
    batch = tables.batch()
    batch.put_open(entry_of(JOB, single=single))
    batch.put_ledger(ledger_of(JOB, single=single))
    batch.write()
    # when the entry goes
    batch = tables.batch()
    batch.drop_open(JOB.encode())
    batch.write()
    # then the record counts still
    assert [mark.state_key for mark in tables.marks("s", NOW - 1)] == [JOB.encode()]


@pytest.mark.parametrize(
    "row",
    [
        "s",
        7,
        {},
        [],
        ["s", "over", 1, None, 0],
        ["s", "over", 1, None, 0, 0, 0],
        [1, "over", 1, None, 0, 0],
        ["s", "never", 1, None, 0, 0],
        ["s", "over", "1", None, 0, 0],
        ["s", "over", -1, None, 0, 0],
        ["s", "over", 1, 2**63, 0, 0],
        ["s", "over", 1, 0.5, 0, 0],
    ],
)
def test_what_is_not_known_to_be_alike_is_neither_an_entry_nor_a_record(row: object) -> None:
    single = Single(scope="s", kind=Kind.UNTIL_OVER, arrival=1, until=NOW, since=2, for_ms=3)
    key, value = encode_open(entry_of(JOB, single=single))
    head, _, payload = value.partition(b"\n")
    assert decode_open(key, value).single == decode_head(key, value).single == single
    broken = orjson.dumps({**orjson.loads(head), "single": row}) + b"\n" + payload
    for decode in (decode_open, decode_head):
        with pytest.raises(UndecodableRecord):
            decode(key, broken)
    key, value = encode_ledger(ledger_of(JOB, single=single))
    assert decode_ledger(key, value).single == single
    tables = Tables(MemoryStore())
    batch = tables.batch()
    assert not batch.apply_ledger(key, orjson.dumps({**orjson.loads(value), "single": row}))
    assert batch.apply_ledger(key, value)
    assert not batch.apply_retry(JOB.encode(), broken, COMMANDS)


def test_a_cleared_store_knows_nothing() -> None:
    store = MemoryStore()
    tables = Tables(store)
    batch = tables.batch()
    batch.put_open(entry_of(JOB))
    batch.put_ledger(ledger_of(JOBS[4]))
    batch.reflect("t", 7)
    batch.commit(3)
    batch.see(NOW)
    batch.mark(b"w1")
    batch.write()
    tables.clear()
    for each in (tables, Tables(store)):
        assert each.counts.entries == each.counts.arrivals_end == 0
        assert (each.applied("t"), each.committed(), each.seen()) == (0, 0, None)
        assert each.open(JOB.encode()) is each.ledger(JOBS[4].encode()) is None
        assert each.owner_at_work() is None


def test_what_is_applied_from_a_topic_is_what_was_written() -> None:
    written, read = Tables(MemoryStore()), Tables(MemoryStore())
    batch = written.batch()
    batch.put_open(entry_of(JOB))
    batch.put_ledger(ledger_of(JOBS[4]))
    batch.reflect(COMMANDS, 5)
    batch.commit(9)
    batch.write()
    batch = read.batch()
    assert batch.apply_retry(*encode_open(entry_of(JOB)), COMMANDS)
    assert batch.apply_ledger(*encode_ledger(ledger_of(JOBS[4])))
    assert batch.apply_retry(COMMANDS_READ, b"5", COMMANDS)
    assert batch.apply_retry(COMMITTED, b"9", COMMANDS)
    assert batch.apply_retry(AT_WORK, b"w1", COMMANDS)
    batch.write()
    assert read.open(JOB.encode()) == written.open(JOB.encode())
    assert read.ledger(JOBS[4].encode()) == written.ledger(JOBS[4].encode())
    assert (read.applied(COMMANDS), read.committed()) == (5, 9)
    assert read.owner_at_work() == b"w1"
    assert read.counts == written.counts


@pytest.mark.parametrize("state", list(State))
@pytest.mark.parametrize("blocks", [False, True])
@pytest.mark.parametrize("due", [None, -1, NOW])
@pytest.mark.parametrize("job", [JOB, replace(JOB, ordering_key=None)])
def test_the_head_of_an_entry_is_read_without_the_rest(
    state: State, blocks: bool, due: int | None, job: JobKey
) -> None:
    entry = entry_of(job, state=state, blocks=blocks, due=due, arrival=7)
    for record_key in (b"\xffstep:1", None):
        whole = replace(entry, record_key=record_key)
        assert decode_head(*encode_open(whole)) == head_of(whole)
        assert head_of(whole).size == len(whole.payload)


def test_what_lacks_a_field_is_not_an_entry() -> None:
    key, value = encode_open(entry_of(JOB))
    head, _, payload = value.partition(b"\n")
    fields = orjson.loads(head)
    for name in fields:
        damaged = orjson.dumps({k: v for k, v in fields.items() if k != name}) + b"\n" + payload
        try:
            decode_open(key, damaged)
        except UndecodableRecord:
            with pytest.raises(UndecodableRecord):
                decode_head(key, damaged)
        else:
            assert decode_head(key, damaged) == decode_head(key, value)


@pytest.mark.parametrize(
    "damage",
    [
        {"failure": ["type"]},
        {"failure": {"type": 1}},
        {"headers": [["name"]]},
        {"headers": [["name", 7]]},
        {"headers": [["name", "\u0416"]]},
        {"headers": {}},
        {"headers": None},
        {"origin": {}},
        {"origin": ["topic", 1]},
        {"history": [[1, 2]]},
        {"history": None},
        {"key": 7},
        {"key": "\u0416"},
        {"state": "lost"},
    ],
    ids=str,
)
@pytest.mark.parametrize("blocks", [False, True])
def test_what_could_not_be_read_later_is_not_an_entry(
    damage: dict[str, object], blocks: bool
) -> None:
    key, value = encode_open(entry_of(JOB, blocks=blocks))
    head, _, payload = value.partition(b"\n")
    damaged = orjson.dumps(orjson.loads(head) | damage) + b"\n" + payload
    try:
        entry = decode_open(key, damaged)
    except UndecodableRecord:
        with pytest.raises(UndecodableRecord):
            decode_head(key, damaged)
    else:
        assert decode_head(key, damaged) == head_of(entry)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        (JOB.encode(), b"junk"),
        (b"junk", encode_open(entry_of(JOB))[1]),
        (COMMITTED, b"many"),
        (COMMANDS_READ, b"many"),
    ],
)
def test_what_cannot_be_read_changes_nothing(key: bytes, value: bytes) -> None:
    tables = Tables(MemoryStore())
    batch = tables.batch()
    batch.put_open(entry_of(JOB))
    batch.write()
    batch = tables.batch()
    assert not batch.apply_retry(key, value, COMMANDS)
    batch.write()
    assert tables.open(JOB.encode()) == entry_of(JOB)
    assert tables.counts == replace(tables.counts, entries=1, blocking=1)


def test_an_entry_keeps_all_that_it_says() -> None:
    entry = entry_of(JOB, headers=(("a", None), ("b", b"\xff\x00")), payload=b"\n\n{}\n")
    tables = Tables(MemoryStore())
    batch = tables.batch()
    batch.put_open(entry)
    batch.write()
    assert tables.open(JOB.encode()) == entry
