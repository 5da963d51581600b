"""What is in hand, against a model: of each key one runs, and they start in order of arrival."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from parts import STEP, StubExecutor, attempt

from streams.worker.attempt import Attempt
from streams.worker.hand import Hand

KEYS = ("step:1", "step:2", None)
LANES = (b"step:1", b"step:2")
# As often as it takes to get somewhere; with a number that chooses, and a flag.
MOVES = ("take",) * 6 + ("end",) * 4 + ("pass on",) * 2 + ("pause", "resume", "give back")
SCRIPTS = st.lists(
    st.tuples(st.sampled_from(MOVES), st.integers(0, 11), st.booleans()), min_size=15, max_size=50
)


class Model:
    """For each key a list of attempts, the one that runs first; checks each move of the hand."""

    def __init__(self) -> None:
        self.executor = StubExecutor()
        self.hand = Hand(self.executor, lambda attempt, outcome: None)
        self.lanes: dict[bytes, list[Attempt]] = {lane: [] for lane in LANES}
        self.loose: list[Attempt] = []
        self.count = 0

    @property
    def in_hand(self) -> list[Attempt]:
        return [*self.loose, *(each for lane in self.lanes.values() for each in lane)]

    def take(self, number: int, opened: bool) -> None:
        key = KEYS[number % len(KEYS)]
        new = attempt(STEP, f"id-{self.count}", key, self.count, opened=opened)
        self.count += 1
        self.hand.take(new)
        if new.lane is None:
            self.loose.append(new)
        else:
            self.lanes[new.lane].append(new)

    def end(self, number: int, is_blocked: bool) -> None:
        """One ends: it may be running, or waiting and cancelled."""
        ended = self.in_hand[number % len(self.in_hand)]
        if ended.lane is not None and ended.submitted:
            ended = self.lanes[ended.lane][0]  # what has ended is put down in this order
        followers = list(self.hand.put_down(ended, is_blocked=is_blocked))
        if ended.lane is None:
            self.loose.remove(ended)
            assert followers == []
            return
        lane = self.lanes[ended.lane]
        lane.remove(ended)
        if ended.submitted and is_blocked and not ended.passed_on:
            # all that waited goes with it, in order
            assert followers == lane
            lane.clear()
        else:
            assert followers == []

    def pass_on(self, lane_key: bytes) -> None:
        """What runs has ended for good: the next one starts, though it is in hand still."""
        running = [each for each in self.lanes[lane_key] if each.submitted and not each.passed_on]
        waiting = [each for each in self.lanes[lane_key] if not each.submitted]
        for each in running:
            self.hand.pass_on(each)
            assert each.passed_on == bool(waiting and not self.hand.paused)
        for each in waiting[:1]:
            assert each.submitted == bool(running and not self.hand.paused)

    def give_back(self, lane_key: bytes) -> None:
        lane = self.lanes[lane_key]
        waiting = [each for each in lane if not each.submitted]
        assert list(self.hand.give_back(lane_key)) == waiting
        lane[:] = [each for each in lane if each.submitted]

    def check(self) -> None:
        hand, in_hand = self.hand, self.in_hand
        for lane_key, lane in self.lanes.items():
            # one runs, the first that is not over; during a pause perhaps none
            going = [each for each in lane if not each.passed_on]
            running = [each for each in going if each.submitted]
            assert running == going[:1] or (hand.paused and running == [])
            assert hand.has_lane(lane_key) == bool(lane)
            starts = [a.record.offset for a in self.executor.submitted if a.lane == lane_key]
            assert starts == sorted(set(starts))
        assert all(each.submitted for each in self.loose)
        # and its counts are a recount
        assert len(hand) == len(in_hand)
        assert set(hand) == set(in_hand)
        assert all(hand.get(each.state_key) is each for each in in_hand)
        assert hand.opened == sum(each.was_opened for each in in_hand)
        assert hand.bytes == sum(len(each.envelope.payload) for each in in_hand)


@settings(deadline=None)
@given(SCRIPTS)
def test_of_each_key_one_runs_and_they_start_in_order(
    script: list[tuple[str, int, bool]],
) -> None:
    model = Model()
    for move, number, flag in script:
        match move:
            case "take" if not model.hand.paused:  # nothing is admitted during a pause
                model.take(number, flag)
            case "end" if model.in_hand:
                model.end(number, flag)
            case "pass on":
                model.pass_on(LANES[flag])
            case "give back":
                model.give_back(LANES[flag])
            case "pause":
                model.hand.paused = True
            case "resume":
                model.hand.resume()
        model.check()
    # whatever happened, all that is in hand comes to its turn
    model.hand.resume()
    while model.in_hand:
        model.check()
        model.end(0, is_blocked=False)
    model.take(0, opened=False)
    model.check()


def test_what_is_abandoned_is_all_that_is_in_hand() -> None:
    model = Model()
    for number in (0, 0, 1, 2):
        model.take(number, opened=False)
    model.hand.abandon()
    assert set(model.executor.abandoned) == set(model.in_hand)


@pytest.mark.parametrize("is_blocked", [False, True])
def test_the_end_of_one_that_waits_starts_nothing(is_blocked: bool) -> None:
    model = Model()
    for _ in range(3):
        model.take(0, opened=False)
    model.end(1, is_blocked)
    assert [each.record.offset for each in model.executor.submitted] == [0]
    model.end(0, is_blocked=False)
    assert [each.record.offset for each in model.executor.submitted] == [0, 2]
