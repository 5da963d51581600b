"""What a projection does beside reading, and when it may."""

from __future__ import annotations

from told import NAMES, NOW, Projection, Topics

from streams.listed import Listed
from streams.projection.file import WRITTEN
from streams.projection.keeping import Keeper
from streams.projection.progress import Progress
from streams.projection.retention import Retention
from streams.projection.states import NAMES as STATES

QUEUE, RETRY = (NAMES.queue("default"), 0), (NAMES.retry("default"), 0)
LEDGER = (NAMES.ledger("default"), 0)
HOUR = 60 * 60 * 1000


def progress(**positions: int) -> Progress:
    """Of topics that had ten records each when they were begun."""
    made = Progress()
    for name, of in (("queue", QUEUE), ("retry", RETRY), ("ledger", LEDGER)):
        made.begin(position=positions.get(name, 10), begin=0, end=10, of=of)
    return made


def keeper(retention: Retention | None = None) -> Keeper:
    return Keeper(NAMES, ["default"], retention or Retention())


def test_what_is_over_without_a_record_is_noted_once_the_ledger_was_read() -> None:
    topics, projection = Topics(), Projection()
    projection.read([topics.sent("1"), topics.commit(1)])
    commits = dict(projection.store.commits)
    for ends, noted in (({LEDGER: 11}, []), ({LEDGER: 10}, ["untold"])):
        kept = keeper().keep(projection.store, progress(), commits, ends, NOW)
        assert [STATES[row.state] for row in kept.rows] == noted
        assert kept.is_done


def test_nothing_is_forgotten_before_queue_and_retry_topic_were_read_once() -> None:
    topics, projection = Topics(), Projection()
    projection.read([topics.over(str(n), ended=NOW - 9 * HOUR) for n in range(3)])
    keep = keeper(Retention(over=Listed(HOUR, None)))
    for behind in (progress(queue=9), progress(retry=9)):
        kept = keep.keep(projection.store, behind, {}, {}, NOW)
        assert len(projection.rows) == 3
        # though it is not listed
        assert set(kept.floors.values()) == {NOW - HOUR}
    keep.keep(projection.store, progress(ledger=5), {}, {}, NOW)
    assert projection.rows == {}


def test_it_is_as_fresh_as_the_ends_that_it_has_reached_were() -> None:
    projection, keep = Projection(), keeper()
    keep.begin({QUEUE: 10}, NOW)
    later = NOW + 5_000
    # it is behind: what it has is not known to be fresh
    keep.keep(projection.store, progress(queue=9), {}, {QUEUE: 20}, later)
    assert projection.store.noted(WRITTEN) is None
    # it has what was there at first
    keep.keep(projection.store, progress(), {}, {QUEUE: 20}, later)
    assert projection.store.noted(WRITTEN) == str(NOW)
    # and not yet what was there later
    keep.keep(projection.store, progress(), {}, {QUEUE: 30}, later + 5_000)
    assert projection.store.noted(WRITTEN) == str(NOW)
    reached = progress()
    reached.moved(QUEUE, 20)
    keep.keep(projection.store, reached, {}, {QUEUE: 30}, later + 9_000)
    assert projection.store.noted(WRITTEN) == str(later)


def test_it_says_when_there_is_more_to_do_at_once() -> None:
    topics, projection = Topics(), Projection()
    projection.read([*(topics.sent(str(n)) for n in range(5_001)), topics.commit(5_001)])
    commits = dict(projection.store.commits)
    keep, ends = keeper(), {LEDGER: 10}
    done = []
    while not (done and done[-1]):
        kept = keep.keep(projection.store, progress(), commits, ends, NOW)
        done.append(kept.is_done)
    assert done == [False, True]
    assert {STATES[row.state] for row in projection.rows.values()} == {"untold"}
