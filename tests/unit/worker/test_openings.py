"""What waits in the open table and starts: of each key one job, and which one."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from parts import (
    NOW,
    PLACE,
    STEP,
    StubExecutor,
    attempt,
    entry_of,
    openings_of,
    owned_by_us,
    step,
    write,
)

from streams.jobs.identity import JobKey
from streams.jobs.states import State
from streams.wire.state import OpenEntry
from streams.worker.openings import (
    UNKNOWN_FIRST_LOOK_MS,
    UNKNOWN_FOR_MS,
    Openings,
    hold_unknown,
)
from streams.worker.owned import Owned
from streams.worker.settlement import Settlement

POSITION = 6  # reading has come so far


KEYS = ("step:1", "step:2", None)

# What the engine writes: which states block their key, and which have a time.
BLOCKS = {State.RUNNING: True, State.RETRYING: True, State.PARKED: True, State.SCHEDULED: False}
TIMES = st.sampled_from([NOW - 1_000, NOW, NOW + 1])


@st.composite
def open_tables(draw: st.DrawFn) -> list[OpenEntry]:
    """Entries as they may stand together: of a key at most one has started."""
    entries: list[OpenEntry] = []
    started: set[str | None] = set()
    states = st.sampled_from(
        [State.PARKED, State.PARKED, State.SCHEDULED, State.SLEEPING, State.DEAD, State.RETRYING]
    )
    for number in range(draw(st.integers(0, 10))):
        key = draw(st.sampled_from(KEYS))
        state = draw(states)
        blocks = key is not None and BLOCKS.get(state, False)
        if key is not None and state in (State.SLEEPING, State.DEAD):
            blocks = draw(st.booleans())
        if blocks and state is not State.PARKED:
            if key in started:
                continue
            started.add(key)
        due: int | None = draw(TIMES)
        if state is State.PARKED and key is None:
            continue
        if state in (State.PARKED, State.DEAD):
            due = None  # a letter that was sent has no time
        entries.append(
            entry_of(
                JobKey(name="step", ordering_key=key, id=str(number)),
                state=state,
                blocks=blocks,
                due=due,
                arrival=draw(st.integers(0, 9)),
            )
        )
    return entries


def opened(entries: list[OpenEntry], position: int = POSITION) -> tuple[Owned, StubExecutor]:
    """A partition with these entries in its table."""
    owned, executor = owned_by_us(step, start=position)
    batch = owned.tables.batch()
    for entry in entries:
        batch.put_open(entry)
    batch.write()
    return owned, executor


def release(openings: Openings, now: int = NOW) -> Settlement:
    settlement = Settlement(at=now)
    openings.release(settlement, now)
    return settlement


def first_of_key(entries: list[OpenEntry], key: str) -> OpenEntry | None:
    """What all others of a key wait for: one that has started, else the first that arrived."""
    blockers = [e for e in entries if e.job.ordering_key == key and e.blocks]
    return min(
        blockers,
        key=lambda e: (e.state is State.PARKED, e.arrival, e.job.encode()),
        default=None,
    )


def settle(owned: Owned, openings: Openings, settlement: Settlement) -> None:
    """What the pipeline does with a turn's decisions."""
    write(owned, settlement)
    for entry in settlement.opens.values():
        openings.note(entry)
    openings.touch(settlement.touched)


@settings(deadline=None, max_examples=200)
@given(open_tables())
def test_of_each_key_the_first_starts_once_it_may_and_nothing_else(
    entries: list[OpenEntry],
) -> None:
    owned, executor = opened(entries)
    openings = openings_of(owned)
    # when it has looked until there is nothing to look at, and nothing has ended
    for _ in range(5):
        settle(owned, openings, release(openings))
    assert not openings.has_work
    started = [each.job for each in executor.submitted]
    # (what is parked right behind one that was parked itself waits in hand with it)
    in_line = [each for each in owned.hand if not each.submitted]
    assert len(owned.hand) == len(started) + len(in_line)
    going = {each.lane: each for each in owned.hand if each.submitted}
    for each in in_line:
        first = going[each.lane].entry
        assert first is not None and each.entry is not None
        assert first.state is each.entry.state is State.PARKED
        assert each.entry.due is None and each.entry.arrival < POSITION
        now_open = [
            e for e in owned.tables.entries() if e.job.ordering_key == first.job.ordering_key
        ]
        now_open = [e for e in now_open if e.blocks]
        now_open.sort(key=lambda e: (e.state is State.PARKED, e.arrival, e.job.encode()))
        assert [e.job for e in now_open[:2]] == [first.job, each.job]
    # then an unordered job started as soon as it was due
    due = [
        e
        for e in entries
        if not e.blocks and e.state is not State.DEAD and e.due is not None and e.due <= NOW
    ]
    assert {j for j in started if j.ordering_key is None} == {
        e.job for e in due if e.job.ordering_key is None
    }
    for key in ("step:1", "step:2"):
        came_due = [e for e in due if e.job.ordering_key == key]
        came_due.sort(key=lambda e: (e.due, e.job.encode()))
        if first_of_key(entries, key) is None:
            # nothing blocks: what came due first starts, the others wait for it, durably
            expected, waiting = came_due[:1], came_due[1:]
        else:
            # what came due waits in its place, and then the first of all may start, or none
            waiting = came_due
            parked = [replace(e, state=State.PARKED, blocks=True, due=None) for e in waiting]
            first = first_of_key([*(e for e in entries if e not in waiting), *parked], key)
            expected = [first] if first is not None and may_start(first) else []
        assert [j for j in started if j.ordering_key == key] == [e.job for e in expected]
        now_parked = [owned.tables.open(e.job.encode()) for e in waiting]
        assert all(e and e.state is State.PARKED and e.blocks for e in now_parked)


def may_start(first: OpenEntry) -> bool:
    """Whether the first of a key may start by now."""
    is_due = first.due is None or first.due <= NOW
    return first.state is not State.DEAD and first.arrival < POSITION and is_due


@settings(deadline=None, max_examples=50)
@given(open_tables())
def test_nothing_starts_twice_and_all_that_can_run_runs_in_order(
    entries: list[OpenEntry],
) -> None:
    """Run until nothing moves, with time and reading far ahead."""
    owned, _ = opened(entries, position=100)
    openings = openings_of(owned)
    order: defaultdict[str | None, list[JobKey]] = defaultdict(list)
    for _ in range(60):
        settlement = release(openings, NOW + 10)
        for each in list(owned.hand):
            if not each.submitted:
                continue
            order[each.job.ordering_key].append(each.job)
            settlement.closes.add(each.state_key)
            settlement.opens.pop(each.state_key, None)
            if each.lane is not None:
                settlement.touched[each.lane] = None
            assert owned.hand.put_down(each, is_blocked=False) == ()
        settle(owned, openings, settlement)
    ran = [each for jobs in order.values() for each in jobs]
    assert len(ran) == len(set(ran))
    assert not openings.has_work
    halted = {e.record_key for e in entries if e.state is State.DEAD and e.blocks}
    left = {e.job for e in owned.tables.entries()}
    for entry in entries:
        is_stuck = entry.state is State.DEAD or (
            entry.job.ordering_key is not None and entry.record_key in halted
        )
        assert entry.job in left if entry.state is State.DEAD else True
        if not is_stuck:
            assert entry.job in ran
    for key in ("step:1", "step:2"):
        # of what was parked the order is that of arrival
        arrivals = [
            e.arrival for j in order[key] for e in entries if e.job == j and e.state is State.PARKED
        ]
        assert arrivals == sorted(arrivals)


def test_what_arrived_later_starts_only_once_reading_has_passed_it() -> None:
    early = entry_of(
        JobKey(name="step", ordering_key="step:1", id="1"),
        state=State.PARKED,
        due=None,
        arrival=POSITION,
    )
    owned, executor = opened([early])
    openings = openings_of(owned)
    release(openings)
    assert executor.submitted == []
    assert not openings.has_work
    owned.watermark.begin(POSITION)
    assert openings.has_work
    release(openings)
    assert [each.job for each in executor.submitted] == [early.job]


def test_while_a_job_of_the_key_is_in_hand_nothing_of_it_starts() -> None:
    parked = entry_of(
        JobKey(name="step", ordering_key="step:1", id="2"), state=State.PARKED, due=None
    )
    owned, executor = opened([parked])
    openings = openings_of(owned)
    running = attempt(STEP, "1", "step:1", 1)
    owned.hand.take(running)
    release(openings)
    assert executor.submitted == [running]
    # it is looked at again when its key was touched
    owned.hand.put_down(running, is_blocked=False)
    openings.touch({b"step:1"})
    release(openings)
    assert [each.job for each in executor.submitted[1:]] == [parked.job]


def test_what_comes_due_while_others_wait_in_hand_goes_to_its_place_among_them() -> None:
    delayed = entry_of(
        JobKey(name="step", ordering_key="step:1", id="1"), state=State.SCHEDULED, blocks=False
    )
    owned, _ = opened([delayed])
    openings = openings_of(owned)
    for number in (2, 3):
        owned.watermark.begin(POSITION + number)
        owned.hand.take(attempt(STEP, str(number), "step:1", POSITION + number))
    settlement = release(openings)
    assert [(e.job.id, e.state, e.arrival) for e in settlement.opens.values()] == [
        ("1", State.PARKED, 0),
        ("3", State.PARKED, POSITION + 3),
    ]
    assert settlement.finished == [POSITION + 3]
    assert len(owned.hand) == 1


@pytest.mark.parametrize("key", ["step:{}", None])
def test_of_many_that_came_due_at_once_each_turn_looks_at_some(
    key: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("streams.worker.openings.DUE_AT_ONCE", 2)
    owned, executor = opened(
        [
            entry_of(
                JobKey(name="step", ordering_key=key and key.format(n), id=str(n)),
                state=State.RETRYING,
                blocks=key is not None,
                due=NOW - 10 + n,
                arrival=n,
            )
            for n in range(5)
        ]
    )
    openings = openings_of(owned)
    openings._sweep = None  # it is over: the due times alone bring them
    for count in (2, 4, 5):
        # a turn follows at once, as long as the next of them is due
        assert (openings.next_due(NOW) or 0) <= NOW
        release(openings)
        assert len(executor.submitted) == count
    assert [attempt.job.id for attempt in executor.submitted] == list("01234")
    assert openings.next_due(NOW) is None


def test_a_letter_that_a_crash_left_pending_is_sent_and_starts_nothing() -> None:
    dead = entry_of(
        JobKey(name="step", ordering_key="step:1", id="1"),
        state=State.DEAD,
        blocks=False,
        letter_pending=True,
    )
    owned, executor = opened([dead])
    settlement = release(openings_of(owned))
    assert [each.topic for each in settlement.letters] == [PLACE.dead]
    assert settlement.pending_letters == [dead]
    assert executor.submitted == []


@pytest.mark.parametrize(
    ("waited", "look"),
    [
        (0, UNKNOWN_FIRST_LOOK_MS),
        (UNKNOWN_FIRST_LOOK_MS, UNKNOWN_FIRST_LOOK_MS),
        (60_000, 60_000),
        (UNKNOWN_FOR_MS - 1, 1),
    ],
)
def test_an_unknown_name_is_looked_at_less_and_less_often(waited: int, look: int) -> None:
    owned, _ = owned_by_us()
    entry = entry_of(
        JobKey(name="who", ordering_key="who:1", id="1"), unknown_since=NOW - waited or None
    )
    settlement = Settlement(at=NOW)
    hold_unknown(owned, entry, b"who:1", settlement, NOW)
    (held,) = settlement.opens.values()
    assert (held.state, held.due, held.blocks) == (State.PARKED, NOW + look, True)
    assert held.unknown_since == NOW - waited


def test_an_unknown_name_is_dead_in_the_end() -> None:
    owned, _ = owned_by_us()
    entry = entry_of(
        JobKey(name="who", ordering_key="who:1", id="1"), unknown_since=NOW - UNKNOWN_FOR_MS
    )
    settlement = Settlement(at=NOW)
    hold_unknown(owned, entry, b"who:1", settlement, NOW)
    (dead,) = settlement.opens.values()
    assert (dead.state, dead.letter_pending, dead.blocks) == (State.DEAD, True, False)
    assert dead.failure is not None and dead.failure.type == "UnknownJob"
    assert len(settlement.letters) == 1


def test_a_due_time_that_is_written_below_the_cursor_is_found() -> None:
    owned, executor = opened([])
    openings = openings_of(owned)
    late, soon = (
        entry_of(JobKey(name="step", ordering_key=None, id=id), state=State.SCHEDULED, due=due)
        for id, due in (("late", NOW), ("soon", NOW - 5))
    )
    for entry in (late, soon):
        batch = owned.tables.batch()
        batch.put_open(entry)
        batch.write()
        openings.note(entry)
        release(openings)
    assert [each.job.id for each in executor.submitted] == ["late", "soon"]
