"""What runs long is taken over, and what waits behind it with it."""

from __future__ import annotations

import pytest
from parts import NOW, STEP, attempt, owned_by_us, step

from streams.jobs.states import State
from streams.worker.attempt import Attempt
from streams.worker.owned import Owned
from streams.worker.settlement import Settlement
from streams.worker.takeover import LONG_MS, LOOK_MS, TakeOvers


def admit(
    owned: Owned, watch: TakeOvers, id: str, key: str | None, offset: int, started: int | None = NOW
) -> Attempt:
    owned.watermark.begin(offset)
    taken = attempt(STEP, id, key, offset)
    owned.hand.take(taken)
    watch.watch(taken)
    if taken.submitted:
        taken.started = started
    return taken


def look(watch: TakeOvers, now: int) -> Settlement:
    settlement = Settlement(at=now)
    watch.take_over_long(settlement, now)
    return settlement


@pytest.mark.parametrize(("ran", "is_long"), [(LONG_MS - 1, False), (LONG_MS, True)])
def test_a_run_is_taken_over_once_it_is_long(ran: int, is_long: bool) -> None:
    owned, _ = owned_by_us(step)
    watch = TakeOvers(owned)
    taken = admit(owned, watch, "1", "step:1", 0)
    settlement = look(watch, NOW + ran)
    assert bool(settlement) == is_long
    if not is_long:
        assert watch.next_look(NOW + ran) == NOW + ran + LOOK_MS
        return
    # it is open as running, due for whoever comes next, and keeps its place
    (entry,) = settlement.opens.values()
    assert (entry.state, entry.arrival, entry.due) == (State.RUNNING, 0, NOW)
    assert entry.blocks
    assert settlement.finished == [0]
    # and it goes on in hand, without an offset, and is looked at no more
    assert owned.hand.get(taken.state_key) is taken
    assert (taken.offset, taken.entry) == (None, entry)
    assert watch.next_look(NOW + ran) is None


def test_what_waits_behind_it_parks_with_its_own_place() -> None:
    owned, _ = owned_by_us(step)
    watch = TakeOvers(owned)
    taken = [admit(owned, watch, str(n), "step:1", n) for n in range(3)]
    other = admit(owned, watch, "9", "step:2", 3, NOW + LONG_MS)
    settlement = look(watch, NOW + LONG_MS)
    opens = [settlement.opens[each.state_key] for each in taken]
    assert [(e.state, e.arrival) for e in opens] == [
        (State.RUNNING, 0),
        (State.PARKED, 1),
        (State.PARKED, 2),
    ]
    assert sorted(settlement.finished) == [0, 1, 2]
    assert list(owned.hand) == [taken[0], other]
    assert watch.next_look(NOW + LONG_MS) == NOW + LONG_MS * 2


def test_an_unordered_run_blocks_nobody() -> None:
    owned, _ = owned_by_us(step)
    watch = TakeOvers(owned)
    admit(owned, watch, "1", None, 0)
    (entry,) = look(watch, NOW + LONG_MS).opens.values()
    assert not entry.blocks


def test_what_has_no_slot_yet_is_not_taken_over_however_long_it_waits() -> None:
    owned, _ = owned_by_us(step)
    watch = TakeOvers(owned)
    admit(owned, watch, "1", None, 0, started=None)
    admit(owned, watch, "2", None, 1)
    assert not look(watch, NOW + 10 * LONG_MS)


def test_a_run_that_many_records_have_passed_is_taken_over_early(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("streams.worker.takeover.BEHIND_MAX", 3)
    owned, _ = owned_by_us(step)
    watch = TakeOvers(owned)
    admit(owned, watch, "0", "step:0", 0)
    later = [admit(owned, watch, str(n), f"step:{n}", n) for n in (1, 2)]
    assert not look(watch, NOW)
    owned.watermark.begin(3)
    settlement = look(watch, NOW)
    assert settlement.finished == [0]
    # the others are not behind, and are watched on
    assert [each.offset for each in later] == [1, 2]
    assert watch.next_look(NOW) is not None


def test_what_ended_is_forgotten() -> None:
    owned, _ = owned_by_us(step)
    watch = TakeOvers(owned)
    taken = [admit(owned, watch, str(n), f"step:{n}", n) for n in range(3)]
    for each in taken[:2]:
        owned.hand.put_down(each, is_blocked=False)
    assert watch.next_look(NOW) == NOW + LONG_MS
    assert list(look(watch, NOW + LONG_MS).opens) == [taken[2].state_key]


def test_a_run_is_not_taken_over_in_the_turn_that_writes_what_ended_before_it() -> None:
    owned, _ = owned_by_us(step)
    watch = TakeOvers(owned)
    taken = admit(owned, watch, "1", "step:1", 0)
    settlement = Settlement(at=NOW + LONG_MS)
    assert taken.lane is not None
    settlement.passed.add(taken.lane)
    watch.take_over_long(settlement, NOW + LONG_MS)
    assert not settlement.opens
    # the next look finds it
    assert look(watch, NOW + LONG_MS + LOOK_MS).opens
