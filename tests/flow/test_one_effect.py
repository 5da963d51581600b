"""A handler that records its key with its effect: attempts and replays leave one effect."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from streams import Fixed, JobContext, JobPayload, Retry, job
from streams.idempotency import Once
from streams.testing.sandbox import Sandbox

once = Once()


class Deposit(JobPayload, name="deposit", key="account"):
    account: int
    cents: int


class Database:
    """A file of SQLite's with the keys and what was deposited."""

    def __init__(self, path: Path) -> None:
        self.path = path
        with closing(self.connect()) as db, db:
            once.create(db)
            db.execute("CREATE TABLE deposits (account INT, cents INT)")

    def connect(self) -> sqlite3.Connection:
        return sqlite3.connect(self.path)

    def deposits(self) -> list[tuple[int, int]]:
        with closing(self.connect()) as db:
            return db.execute("SELECT account, cents FROM deposits").fetchall()


@pytest.fixture
def database(tmp_path: Path) -> Database:
    return Database(tmp_path / "deposits.db")


async def test_nine_attempts_that_fail_behind_the_commit_and_one_that_does_not(
    database: Database,
) -> None:
    @job(retry=Retry(attempts=10, backoff=Fixed("1m")))
    def deposit(payload: Deposit, ctx: JobContext) -> int:
        did = in_one_transaction(database, payload, ctx)
        if ctx.attempt < 10:
            raise ConnectionError("the effect is there, and nobody hears of it")
        return did

    async with Sandbox(deposit) as box:
        key = await box.enqueue(Deposit(account=7, cents=500))
        await box.advance("1h")
        assert box.result(key) == 1  # what the first attempt did
        assert database.deposits() == [(7, 500)]
        # and the next job does the same for itself
        await box.enqueue(Deposit(account=7, cents=500))
        await box.advance("1h")
        assert database.deposits() == [(7, 500), (7, 500)]


async def test_a_replay_does_not_do_again_what_was_done_before_the_job_gave_up(
    database: Database,
) -> None:
    seen: list[tuple[int, str]] = []

    @job(retry=Retry(attempts=2, backoff=Fixed("1m")))
    def deposit(payload: Deposit, ctx: JobContext) -> int:
        did = in_one_transaction(database, payload, ctx)
        seen.append((ctx.generation, ctx.idempotency_key))
        if ctx.generation == 0:
            raise ConnectionError("it gives up")
        return did

    async with Sandbox(deposit) as box:
        key = await box.enqueue(Deposit(account=7, cents=500))
        await box.advance("1h")
        assert [each.state for each in box.jobs()] == ["dead"]
        await box.replay(key)
        assert box.result(key) == 1
    assert database.deposits() == [(7, 500)]
    assert [generation for generation, _ in seen] == [0, 0, 1]
    assert len({key for _, key in seen}) == 1


def in_one_transaction(database: Database, payload: Deposit, ctx: JobContext) -> int:
    def add() -> int:
        row = (payload.account, payload.cents)
        db.execute("INSERT INTO deposits VALUES (?, ?)", row)
        return ctx.attempt

    with closing(database.connect()) as db, db:
        return once.run(db, ctx.idempotency_key, add)
