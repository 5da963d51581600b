"""`streams jobs ls`: pages that go on behind each other, though each is of another projection."""

from __future__ import annotations

import random

import pytest
import typer

from streams.cli import exits
from streams.cli.jobs_ls import _page, _read_cursor
from streams.projection.batch import QUEUE, Batch, Identity, Told
from streams.projection.connecting import connect
from streams.projection.filter import Filter
from streams.projection.store import Store
from streams.wire.outline import Sent


def projection(jobs: list[tuple[str, int]], rng: random.Random):
    """One that has read them in an order of its own."""
    db = connect(None, is_writer=True)
    batch = Batch()
    for offset, (id_, time) in enumerate(rng.sample(jobs, len(jobs))):
        told = Told(QUEUE, offset, Sent("mail", None, id_, time, None, None))
        batch.told[Identity("default", "mail", None, id_)] = (0, [told])
    Store(db).apply(batch)
    return db


@pytest.mark.parametrize("oldest", [False, True])
@pytest.mark.parametrize("seed", range(5))
def test_each_job_is_listed_once_whatever_numbers_it_has_each_time(seed: int, oldest: bool) -> None:
    rng = random.Random(seed)
    jobs = [(f"id-{n}", 1_000 + rng.randrange(6)) for n in range(30)]
    found, behind, pages = [], None, 0
    while True:
        db = projection(jobs, rng)
        rows, _, cursor = _page(db, Filter(), 4, behind, oldest=oldest)
        db.close()
        found += [(row.id, row.at) for row in rows]
        pages += 1
        if cursor is None:
            break
        behind = _read_cursor(cursor, oldest=oldest)
    assert sorted(found) == sorted(jobs)
    times = [at for _, at in found]
    assert times == sorted(times, reverse=not oldest)
    assert pages == 8


@pytest.mark.parametrize("text", ["", "x", "12", "12n.zz", "12o", "12n.1234567"])
def test_another_cursor_is_refused(text: str) -> None:
    with pytest.raises(typer.Exit) as refused:
        _read_cursor(text, oldest=False)
    assert refused.value.exit_code == exits.USAGE
