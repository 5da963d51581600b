"""Whose turn it is to be read: what is said of one job comes together, and nobody is left out."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise

from streams.projection.batch import Place
from streams.projection.progress import Partition
from streams.projection.turns import STAY, Turn, Turns

QUEUE, LEDGER = "jobs.mail", "ledger.mail"
PARTITIONS = 4
CHUNK = 1_000
TELLS_NOTHING = [("control", 0)]


class Topics:
    """Partitions with one job in each millisecond, and how far they were read."""

    def __init__(self, ends: Mapping[Partition, int], first: int = 1) -> None:
        self.ends = dict(ends)
        self.places: dict[Partition, Place] = {}
        self.first = first
        self.reads: list[tuple[Partition, int, int]] = []  # of what, from where to where

    def read(self, turns: Turns, *, silent: frozenset[Partition] = frozenset()) -> Turn:
        """One turn; those that are silent give nothing."""
        turn = turns.next()
        asked = turn.partitions or list(self.ends)
        left = CHUNK
        for of in asked:
            place = self.places.setdefault(of, Place())
            number = 0 if of in silent else min(left, self.ends.get(of, 0) - place.position)
            if number > 0:
                self.reads.append((of, place.position, place.position + number))
                place.position += number
                place.time = self.first + place.position
                left -= number
        turns.took(turn, CHUNK - left, {of: self.places[of].position for of in asked})
        return turn

    def turns(self) -> Turns:
        """Turns over all of it, from where they are."""
        return Turns(self.places, self.ends, TELLS_NOTHING)


def both(jobs: int) -> dict[Partition, int]:
    return {(topic, n): jobs for topic in (QUEUE, LEDGER) for n in range(PARTITIONS)}


def test_what_queue_and_ledger_say_of_a_job_is_read_close_together() -> None:
    # given
    topics = Topics(both(20_000))
    turns = topics.turns()

    # when
    while not turns.is_over:
        topics.read(turns)

    # then
    read_at: dict[tuple[int, int], list[int]] = {}
    for at, ((_, number), begin, end) in enumerate(topics.reads):
        for job in range(begin, end):
            read_at.setdefault((number, job), []).append(at)
    assert all(len(at) == 2 for at in read_at.values())
    apart = [second - first for first, second in read_at.values()]
    assert sum(each <= 2 for each in apart) > 0.9 * len(apart)


def test_it_stays_with_a_partition_for_a_while_and_then_takes_the_one_that_is_behind() -> None:
    # given
    topics = Topics(both(20_000))
    turns = topics.turns()

    # when
    while not turns.is_over:
        topics.read(turns)

    # then
    numbers = [number for (_, number), _, _ in topics.reads]
    changes = sum(a != b for a, b in pairwise(numbers))
    assert changes <= len(topics.reads) * CHUNK / STAY + PARTITIONS
    first_round = numbers[: PARTITIONS * (-(-STAY // CHUNK) + 1)]
    assert {*first_round} == {*range(PARTITIONS)}


def test_a_ledger_that_is_ahead_waits_for_its_queue() -> None:
    # given: the queue was filled long before anything of it ran, and reading was interrupted
    topics = Topics(both(5_000))
    topics.places[LEDGER, 0] = Place(position=4_000, time=4_000)
    turns = topics.turns()

    # when
    while not turns.is_over:
        topics.read(turns)

    # then
    of_first = [of for of, _, _ in topics.reads if of[1] == 0]
    assert of_first.index((LEDGER, 0)) >= 4


def test_one_that_gives_nothing_does_not_hold_up_the_rest() -> None:
    # given
    topics = Topics(both(3_000))
    turns = topics.turns()
    silent = frozenset({(QUEUE, 0)})

    # when
    for _ in range(200):
        topics.read(turns, silent=silent)

    # then
    assert not turns.is_over
    assert all(
        place.position == 3_000
        for of, place in topics.places.items()
        if of in topics.ends.keys() - silent
    )


def test_what_tells_of_no_jobs_is_read_in_between_and_not_waited_for() -> None:
    # given
    topics = Topics(both(10_000))
    turns = topics.turns()

    # when
    taken = []
    while not turns.is_over:
        taken.append(topics.read(turns))

    # then
    between = [turn for turn in taken if turn.partitions == TELLS_NOTHING]
    assert len(between) >= PARTITIONS
    assert not any(turn.waits for turn in between)


def test_once_all_goals_are_reached_anything_may_be_read() -> None:
    # given
    topics = Topics({(QUEUE, 0): 10, (LEDGER, 0): 0})
    turns = topics.turns()

    # when
    while not turns.is_over:
        topics.read(turns)

    # then
    assert turns.next() == Turn([])


def test_a_goal_that_compaction_has_emptied_is_reached_by_the_position() -> None:
    # given: the last records are gone
    turns = Turns({}, {(QUEUE, 0): 10})
    turn = turns.next()

    # when
    turns.took(turn, 3, {(QUEUE, 0): 10})

    # then
    assert turns.is_over
