"""A worker that dies between a handler's commit and the ledger: the effect is there once."""

from __future__ import annotations

from pathlib import Path

import psycopg
from fleet import Fleet
from once_handlers import Grant, once
from topics import create_topics

from streams.client import JobClient


async def test_what_was_committed_by_a_worker_that_died_is_not_done_again(
    kafka: str, prefix: str, tmp_path: Path, postgres: str
) -> None:
    await create_topics(kafka, prefix)
    with psycopg.connect(postgres) as db:
        once.create(db)
        db.execute("CREATE TABLE accounts (id INT PRIMARY KEY, cents INT)")
        db.execute("INSERT INTO accounts VALUES (7, 0)")
    settings = {"handlers": "once_handlers", "DATABASE": postgres}
    with Fleet(kafka, prefix, tmp_path, **settings) as fleet:
        first = fleet.start("first")
        async with JobClient(kafka, source="test", prefix=prefix) as client:
            handle = await client.enqueue(Grant(account=7, cents=500))
            # given a worker whose handler has committed and has not returned
            await fleet.until(lambda found: len(found) == 1)
            # when it dies
            first.kill()
            # then another one runs the job again, and ends it with what the first one did
            second = fleet.start("second")
            assert await handle.result("90s") == first.pid
        assert second.stop() == 0, second.log
        assert fleet.lines == [
            ["committed", str(first.pid), str(first.pid)],
            ["committed", str(first.pid), str(second.pid)],
        ]
    with psycopg.connect(postgres) as db:
        assert db.execute("SELECT cents FROM accounts").fetchall() == [(500,)]
