"""Accounts and their credit, in a database: what is granted once is there once."""

from __future__ import annotations

import csv
import os
import threading
from collections.abc import Sequence
from functools import partial
from typing import Final

from sqlalchemy import Connection, Engine, create_engine, text

from schemas.accounts import GrantCredit, ImportCredits
from streams import JobContext, SyncJobContext, job
from streams.idempotency import Once

_once: Final = Once("granted")
_AT_A_TIME: Final = 100  # lines of a file in one transaction
_ACCOUNTS: Final = text(
    "CREATE TABLE IF NOT EXISTS accounts (id BIGINT PRIMARY KEY, cents BIGINT NOT NULL)"
)
_GRANT: Final = text(
    "INSERT INTO accounts (id, cents) VALUES (:id, :cents) "
    "ON CONFLICT (id) DO UPDATE SET cents = accounts.cents + excluded.cents RETURNING cents"
)


@job
def grant_credit(grant: GrantCredit, ctx: JobContext) -> int:
    """Add credit; the account's new balance in cents is the job's result."""
    with database().begin() as db:
        return _once.run(db, ctx.idempotency_key, lambda: _add(db, grant))


def _add(db: Connection, grant: GrantCredit) -> int:
    row = {"id": grant.account_id, "cents": grant.cents}
    return int(db.execute(_GRANT, row).scalar_one())


@job(timeout="1h")
def import_credits(file: ImportCredits, ctx: SyncJobContext) -> int:
    """Add credit to many accounts, some at a time; how many lines there were is the result.

    After a crash or a deploy it goes on behind the last lines that are certain to be in the
    database. What comes twice all the same is known there.
    """
    grants = [
        GrantCredit(account_id=int(account), cents=int(cents))
        for account, cents in csv.reader(file.lines.splitlines())
    ]
    done: int = ctx.checkpointed or 0
    while done < len(grants):
        some = grants[done : done + _AT_A_TIME]
        with database().begin() as db:
            # The key says where they begin, and how many are taken at a time never changes.
            _once.run(db, f"{ctx.idempotency_key}:{done}", partial(_add_all, db, some))
        done += len(some)
        ctx.checkpoint(done)
        ctx.progress(done, len(grants))
    ctx.log.info("%d lines are in the database", done)
    return done


def _add_all(db: Connection, grants: Sequence[GrantCredit]) -> None:
    for grant in grants:
        _add(db, grant)


def database() -> Engine:
    """The database at ACCOUNTS_DATABASE (a file in STREAMS_DATA_DIR), with its tables."""
    folder = os.environ.get("STREAMS_DATA_DIR", ".streams")
    url = os.environ.get("ACCOUNTS_DATABASE", f"sqlite:///{folder}/accounts.db")
    with _opening:
        engine = _engines.get(url)
        if engine is None:
            if url.startswith("sqlite:///") and (folder := os.path.dirname(url[10:])):
                os.makedirs(folder, exist_ok=True)
            engine = create_engine(url)
            with engine.begin() as db:
                db.execute(_ACCOUNTS)
                _once.create(db)
            _engines[url] = engine
    return engine


_engines: Final[dict[str, Engine]] = {}
_opening: Final = threading.Lock()
