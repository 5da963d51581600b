"""Accounts and their credit, in a database: what is granted once is there once."""

from __future__ import annotations

import os
import threading
from typing import Final

from sqlalchemy import Connection, Engine, create_engine, text

from schemas.accounts import GrantCredit
from streams import JobContext, job
from streams.idempotency import Once

_once: Final = Once("granted")
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


def database() -> Engine:
    """The database at ACCOUNTS_DATABASE (a file of SQLite's), with its tables."""
    url = os.environ.get("ACCOUNTS_DATABASE", "sqlite:///.streams/accounts.db")
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
