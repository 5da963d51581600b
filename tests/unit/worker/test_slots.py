"""Whose turn it is: queues by weight, due and arrived in turns, definitions within their limits."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

from hypothesis import example, given
from hypothesis import strategies as st
from parts import attempt, definition_of

from streams import JobPayload, job
from streams.jobs.identity import JobKey
from streams.worker.attempt import Attempt
from streams.worker.fair import Fair
from streams.worker.limits import Limits
from streams.worker.slots import Slots

WEIGHTS = {"critical": 6, "default": 3, "bulk": 1}


class Step(JobPayload, name="step"):
    pass


class Few(JobPayload, name="few"):
    pass


@job
async def step(payload: Step) -> None: ...


@job(concurrency=2)
async def few(payload: Few) -> None: ...


def waiting(queue: str, n: int = 0, *, limited: bool = False) -> Attempt:
    made = attempt(definition_of(few if limited else step), str(n), None)
    made.envelope = replace(made.envelope, queue=queue)
    return made


def queue_of(taken: Attempt) -> str:
    assert taken.envelope.queue is not None
    return taken.envelope.queue


def test_over_ten_thousand_starts_queues_have_their_shares_within_ten_percent():
    slots = Slots(0, WEIGHTS)
    for queue in WEIGHTS:
        for n in range(10_000):
            slots.wait(waiting(queue, n))
    started = [slots.next() for _ in range(10_000)]
    counts = Counter(queue_of(one) for one in started if one is not None)
    for queue, weight in WEIGHTS.items():
        assert abs(counts[queue] - 1_000 * weight) <= 100 * weight
    # and evenly: of any ten in a row each has its share
    for at in range(0, 10_000, 10):
        ten = Counter(queue_of(one) for one in started[at : at + 10] if one is not None)
        assert ten == {"critical": 6, "default": 3, "bulk": 1}


def test_urgent_work_that_comes_behind_a_backlog_is_among_the_next_two():
    slots = Slots(0, WEIGHTS)
    for n in range(1_000):
        slots.wait(waiting("bulk", n))
    for _ in range(500):
        slots.next()
    urgent = waiting("critical")
    slots.wait(urgent)
    assert urgent in (slots.next(), slots.next())


def test_a_queue_that_nobody_gave_a_weight_is_not_starved():
    slots = Slots(0, {"critical": 6})
    for n in range(100):
        slots.wait(waiting("critical", n))
        slots.wait(waiting("own", n))
    counts = Counter(queue_of(one) for one in (slots.next() for _ in range(70)) if one)
    assert counts == {"critical": 60, "own": 10}


def test_what_came_due_and_what_arrived_take_turns_within_their_queue():
    slots = Slots(0)
    for n in range(4):
        arrived, due = waiting("default", n), waiting("default", n)
        due.was_opened = True
        slots.wait(arrived)
        slots.wait(due)
    assert [one.was_opened for one in (slots.next() for _ in range(8)) if one] == [True, False] * 4


def test_a_definition_at_its_limit_holds_up_nobody_and_keeps_its_order():
    slots = Slots(10)
    limited = [waiting("default", n, limited=True) for n in range(4)]
    others = [waiting("default", n) for n in range(2)]
    for each in (*limited[:3], *others, limited[3]):
        slots.wait(each)
    started = []
    while (one := slots.next()) is not None:
        slots.take(one)
        started.append(one)
    assert started == [*limited[:2], *others]
    assert not slots.is_waited_for
    assert not slots.may_start(waiting("default", 9, limited=True))
    slots.give_back(limited[0])
    assert slots.next() is limited[2]
    slots.take(limited[2])
    assert slots.remove(limited[3])
    slots.give_back(limited[1])
    assert slots.next() is None


class OfKey(JobPayload, name="of_key", key="k"):
    k: str


@job(ordering="none", key_concurrency=2, concurrency=3)
async def of_key(payload: OfKey) -> None: ...


def keyed(key: str, n: int) -> Attempt:
    made = attempt(definition_of(of_key), str(n), None)
    made.job = JobKey(name="of_key", ordering_key=key, id=str(n))
    return made


def test_a_key_has_a_limit_of_its_own_beside_that_of_its_definition():
    slots = Slots(10)
    ones = [keyed("a", n) for n in range(4)] + [keyed("b", n) for n in range(4, 8)]
    for one in ones:
        slots.wait(one)
    started = []
    while (one := slots.next()) is not None:
        slots.take(one)
        started.append(one)
    assert started == [ones[0], ones[1], ones[4]]  # two of a key, three of the definition
    slots.give_back(ones[4])
    assert slots.next() is ones[5]
    slots.take(ones[5])
    slots.give_back(ones[0])
    assert slots.next() is ones[6]
    slots.take(ones[6])
    assert slots.next() is None  # it was let go by its key, and is held by its definition
    # when it is cancelled, the next one of its key is not left behind
    assert slots.remove(ones[2])
    for over in (ones[1], ones[5], ones[6]):
        slots.give_back(over)
    rest = []
    while (one := slots.next()) is not None:
        slots.take(one)
        rest.append(one)
    assert sorted(one.job.id for one in rest) == ["3", "7"]
    for over in rest:
        slots.give_back(over)
    assert slots.free == 10
    assert list(slots._limits._limits) == ["concurrency:of_key"]  # an idle key takes no memory


@given(
    st.lists(
        st.tuples(st.sampled_from(["wait", "end", "remove"]), st.sampled_from("abc")), max_size=150
    )
)
@example([("wait", "a"), ("wait", "b"), ("wait", "b"), ("wait", "b"), ("wait", "a")])
def test_no_key_exceeds_its_limit_and_nobody_waits_for_nothing(steps: list[tuple[str, str]]):
    slots = Slots(4)
    waits: list[Attempt] = []
    runs: list[Attempt] = []

    def start() -> None:
        while slots.free > 0 and (one := slots.next()) is not None:
            slots.take(one)
            waits.remove(one)
            runs.append(one)
            keys = Counter(each.job.ordering_key for each in runs)
            assert len(runs) <= 3 and max(keys.values()) <= 2
        for away, _ in slots.turned_away:  # too many wait already
            waits.remove(away)
        slots.turned_away.clear()
        if len(runs) < 3:  # whoever waits still is of a key that is full
            full = {k for k, n in Counter(each.job.ordering_key for each in runs).items() if n == 2}
            assert {each.job.ordering_key for each in waits} <= full

    for n, (what, key) in enumerate(steps):
        if what == "wait":
            one = keyed(key, n)
            waits.append(one)
            slots.wait(one)
        elif what == "end" and runs:
            slots.give_back(runs.pop(n % len(runs)))
        elif what == "remove" and waits:
            assert slots.remove(waits.pop(n % len(waits)))
        start()
    while waits or runs:
        start()
        slots.give_back(runs.pop(0))
    assert slots.free == 4 and set(slots._limits._limits) <= {"concurrency:of_key"}


@given(
    st.lists(
        st.tuples(st.sampled_from(["wait", "next", "end"]), st.booleans(), st.sampled_from("ab")),
        max_size=120,
    )
)
def test_nothing_is_lost_and_no_limit_exceeded(steps: list[tuple[str, bool, str]]):
    slots = Slots(3)
    waits: list[Attempt] = []
    runs: list[Attempt] = []

    def start() -> None:
        while slots.free > 0 and (one := slots.next()) is not None:
            slots.take(one)
            waits.remove(one)
            runs.append(one)
            assert sum(each.job.name == "few" for each in runs) <= 2
            assert len(runs) <= 3

    for n, (what, limited, queue) in enumerate(steps):
        if what == "wait":
            one = waiting(queue, n, limited=limited)
            waits.append(one)
            slots.wait(one)
        elif what == "end" and runs:
            slots.give_back(runs.pop(0))
        else:
            start()
    while waits or runs:
        start()
        assert runs
        slots.give_back(runs.pop(0))
    assert slots.free == 3


def test_a_turn_that_is_kept_for_nobody_is_not_told_of() -> None:
    limits = Limits()
    limits._limit("concurrency:x", 1, "one at a time").hold(Fair("default", "tenant_id"))
    assert list(limits.told()) == []
