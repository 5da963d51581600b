"""What is listed, and what is forgotten."""

from __future__ import annotations

import random

import pytest
from told import NOW, Projection, Topics

from streams.jobs.states import State
from streams.listed import Listed, read_listed
from streams.projection.filter import Filter
from streams.projection.listing import Listing
from streams.projection.numbers import ended
from streams.projection.retention import BY_ID_MS, SERIES_MS, Retention, floors, forget
from streams.projection.states import CODES, DEAD, NAMES, UNTOLD
from streams.settings import Settings

HOUR = 60 * 60 * 1000
COMPLETED = CODES["completed"]


def completed(number: int, *, every_ms: int = 1_000, queue: str = "default") -> Projection:
    """A projection with so many, the last one a moment ago."""
    topics, projection = Topics(), Projection()
    for n in range(number):
        ended_at = NOW - n * every_ms
        topics.over(f"{queue}{n}", queue=queue, time=ended_at - 5, ended=ended_at)
    projection.read(topics.records)
    return projection


def listed(projection: Projection, retention: Retention, now: int = NOW) -> list[str]:
    lowest = floors(projection.db, retention, now)
    page = Listing(projection.db).page(Filter(), limit=1_000, floors=lowest)
    assert page.cursor is None
    return [row.id for row in page.rows]


def test_the_latest_are_listed_up_to_their_number() -> None:
    retention = Retention(over=Listed(HOUR, 3))
    assert listed(completed(3), retention) == ["default0", "default1", "default2"]
    assert listed(completed(4), retention) == ["default0", "default1", "default2"]


def test_those_that_are_too_old_are_not_listed() -> None:
    retention = Retention(over=Listed(3_000, 100))
    assert listed(completed(9), retention) == ["default0", "default1", "default2", "default3"]


@pytest.mark.parametrize("all_", [Listed(None, None), Listed(None, 5), Listed(HOUR, None)])
def test_without_a_limit_all_are(all_: Listed) -> None:
    assert len(listed(completed(5), Retention(over=all_))) == 5


def test_each_outcome_and_each_queue_has_its_own_number() -> None:
    topics, projection = Topics(), Projection()
    for n in range(4):
        for queue in ("default", "bulk"):
            for state in (State.COMPLETED, State.CANCELLED):
                id_ = f"{queue} {state} {n}"
                topics.over(id_, state, queue=queue, ended=NOW - n)
            topics.entry(f"{queue} dead {n}", State.DEAD, queue=queue, died=NOW - n)
            topics.entry(f"{queue} sleeping {n}", State.SLEEPING, queue=queue, at=NOW - n)
    projection.read(topics.records)
    retention = Retention(
        over=Listed(HOUR, 2),
        failed=Listed(HOUR, 3),
        over_of={"bulk": Listed(HOUR, 1)},
        failed_of={"bulk": Listed(0, 9)},
    )
    found = listed(projection, retention)
    numbers = {
        " ".join(words): sum(id_.startswith(" ".join(words)) for id_ in found)
        for words in (
            (queue, state)
            for queue in ("default", "bulk")
            for state in ("completed", "cancelled", "dead", "sleeping")
        )
    }
    assert numbers == {
        "default completed": 2,
        "default cancelled": 2,
        "default dead": 3,
        "default sleeping": 4,
        "bulk completed": 1,
        "bulk cancelled": 1,
        "bulk dead": 1,
        "bulk sleeping": 4,
    }


@pytest.mark.parametrize("seed", range(8))
def test_what_is_forgotten_was_not_listed_and_is_older_than_an_hour(seed: int) -> None:
    # given many jobs of all kinds
    rng, topics, projection = random.Random(seed), Topics(), Projection()
    for n in range(300):
        at = NOW - rng.randrange(3 * HOUR)
        queue = rng.choice(["default", "bulk"])
        match rng.randrange(3):
            case 0:
                state = rng.choice([State.COMPLETED, State.DISCARDED])
                topics.over(str(n), state, queue=queue, ended=at)
            case 1:
                topics.entry(str(n), rng.choice([State.DEAD, State.SLEEPING]), queue=queue, at=at)
            case 2:
                topics.sent(str(n), queue=queue, time=at)
    topics.commit(rng.randrange(30))
    projection.read(topics.records)
    projection.sweep()
    retention = Retention(over=Listed(rng.choice([HOUR, 9 * HOUR]), rng.choice([5, 50])))
    before = {row.id: row for row in projection.rows.values()}
    seen = listed(projection, retention)

    # when some are forgotten, a few at a time
    lowest = floors(projection.db, retention, NOW)
    gone = -1
    while gone:
        gone = forget(projection.db, lowest, NOW, ["default", "bulk"], limit=7)
        assert gone <= 7
        assert projection.counted() == projection.recount()

    # then those that nobody lists, nor asks for by id, and none of them is left
    after = {row.id for row in projection.rows.values()}
    for id_, row in before.items():
        is_over = row.state >= COMPLETED
        is_needed = not is_over or id_ in seen or row.at >= NOW - BY_ID_MS
        assert (id_ in after) == is_needed, (NAMES[row.state], row.at)
    assert listed(projection, retention) == seen


def test_of_a_queue_that_was_not_read_once_nothing_is_forgotten() -> None:
    projection = completed(5, every_ms=2 * HOUR)
    lowest = floors(projection.db, Retention(over=Listed(HOUR, 1)), NOW)
    assert forget(projection.db, lowest, NOW, ["bulk"], limit=9) == 0
    assert forget(projection.db, lowest, NOW, ["default"], limit=9) == 4


def test_of_more_names_than_can_be_merged_at_once_the_latest_are_listed() -> None:
    # given that somebody puts ids into names
    topics, projection = Topics(), Projection()
    for n in range(1_001):
        topics.over(str(n), name=f"report-{n}", time=NOW - n, ended=NOW - n)
    projection.read(topics.records)

    # then
    lowest = floors(projection.db, Retention(over=Listed(HOUR, 700)), NOW)
    assert lowest["default", COMPLETED] == NOW - 699


def test_dead_jobs_are_never_forgotten() -> None:
    topics, projection = Topics(), Projection()
    projection.read([topics.entry("1", State.DEAD, died=NOW - 999 * HOUR)])
    lowest = floors(projection.db, Retention(), NOW)
    assert lowest["default", DEAD] > NOW - 999 * HOUR
    assert forget(projection.db, lowest, NOW, ["default"], limit=9) == 0


def test_how_fast_jobs_ended_is_kept_for_a_day() -> None:
    topics, projection = Topics(), Projection()
    for at in (NOW - SERIES_MS - 20_000, NOW - SERIES_MS + 20_000):
        topics.over(str(at), ended=at)
    projection.read(topics.records)
    forget(projection.db, {}, NOW, [], limit=9)
    assert len(list(ended(projection.db, 0))) == 1


@pytest.mark.parametrize(
    ("words", "found"),
    [
        ("24h/1000", {"": Listed(24 * HOUR, 1_000)}),
        ("all/all", {"": Listed(None, None)}),
        (" 90s/all , bulk = 1h/5", {"": Listed(90_000, None), "bulk": Listed(HOUR, 5)}),
        ("bulk=all/7", {"bulk": Listed(None, 7)}),
    ],
)
def test_limits_are_written_as_an_age_and_a_number(words: str, found: dict[str, Listed]) -> None:
    assert read_listed(words.split(",")) == found


@pytest.mark.parametrize(
    "word", ["24h", "1000", "24h/0", "24h/-1", "soon/5", "=1h/5", "1h/5/5", "/5", "1h/", "a=b=1h"]
)
def test_other_limits_are_refused(word: str) -> None:
    with pytest.raises(ValueError, match=r"write|duration"):
        read_listed([word])


def test_settings_say_what_is_listed() -> None:
    retention = Retention.of_settings(
        Settings(listed_completed=("bulk=1h/100",), listed_failed=("2d/all", "critical=all/9"))
    )
    assert retention.of("default", COMPLETED) == Listed(24 * HOUR, 1_000)
    assert retention.of("bulk", CODES[UNTOLD]) == Listed(HOUR, 100)
    assert retention.of("bulk", DEAD) == Listed(48 * HOUR, None)
    assert retention.of("critical", DEAD) == Listed(None, 9)
