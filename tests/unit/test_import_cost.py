"""A service that sends jobs does not pay for what workers and consoles need."""

from __future__ import annotations

import subprocess
import sys

import pytest

HEAVY = {
    "faust",
    "mode",
    "fastapi",
    "starlette",
    "uvicorn",
    "rocksdict",
    "typer",
    "rich",
    "structlog",
    "pydantic_settings",
    "prometheus_client",
    "uvloop",
    "jgo",
}


@pytest.mark.parametrize("module", ["streams.client", "streams.client_sync", "streams.contracts"])
def test_imports_nothing_heavy(module: str) -> None:
    code = f"import sys, {module}; print(*sys.modules)"

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    loaded = set(done.stdout.split())
    assert module in loaded
    assert {name.split(".")[0] for name in loaded} & HEAVY == set()
    assert "aiokafka.admin" not in loaded


def test_contracts_need_no_kafka() -> None:
    code = "import sys, streams.contracts; print(*sys.modules)"

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert "aiokafka" not in done.stdout.split()


def test_idempotency_needs_no_broker_and_no_driver() -> None:
    code = "import sys, streams.idempotency; print(*sys.modules)"

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    loaded = {name.split(".")[0] for name in done.stdout.split()}
    assert loaded & (HEAVY | {"aiokafka", "sqlalchemy", "psycopg", "sqlite3"}) == set()
