"""A handler that commits its effect, says so, and is killed before anybody hears of its end."""

from __future__ import annotations

import os
import threading

import effects
import psycopg

from streams import JobContext, JobPayload, job
from streams.idempotency import Once

once = Once()


class Grant(JobPayload, name="grant", key="account"):
    account: int
    cents: int


@job
def grant(payload: Grant, ctx: JobContext) -> int:
    def add() -> int:
        db.execute(
            "UPDATE accounts SET cents = cents + %s WHERE id = %s",
            (payload.cents, payload.account),
        )
        return os.getpid()

    with psycopg.connect(os.environ["DATABASE"]) as db:
        did = once.run(db, ctx.idempotency_key, add)
    effects.write(f"committed {did} {os.getpid()}")
    if did == os.getpid():
        threading.Event().wait()  # it dies here
    return did
