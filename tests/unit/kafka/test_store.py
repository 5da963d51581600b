"""What RocksDB gives back of a range."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from streams.kafka.store import RocksStore
from streams.worker.ports import Change
from streams.worker.tables import DUE, LANE, META, OPEN


@pytest.fixture
def store(tmp_path: Path) -> Iterator[RocksStore]:
    opened = RocksStore(tmp_path)
    yield opened
    opened.close()


def test_a_scan_ends_where_it_is_told(store: RocksStore) -> None:
    keys = [b"\x00\x01", b"\x00\x03", b"\x00\x03\x00", b"0", b"\xff", b"\xff\xff"]
    store.write([Change(LANE, key, b"v") for key in keys])
    for start in (b"", *keys):
        for stop in (*keys, None):
            wanted = [key for key in keys if start <= key and (stop is None or key < stop)]
            assert [key for key, _ in store.scan(LANE, start, stop)] == wanted


def test_a_scan_that_finds_nothing_does_not_look_at_all_that_was_removed(store: RocksStore) -> None:
    keys = [b"%08d" % n for n in range(100_000)]
    store.write([Change(LANE, key, b"") for key in keys])
    store.write([Change(LANE, key, None) for key in keys])
    began = time.monotonic()
    for key in keys[:100]:
        assert not list(store.scan(LANE, key, key + b"\xff"))
    assert time.monotonic() - began < 0.5  # it took 30 ms each


def test_a_table_is_emptied_at_once_and_stays_empty(tmp_path: Path) -> None:
    store = RocksStore(tmp_path)
    store.write([Change(LANE, b"%08d" % n, b"v") for n in range(1_000)])
    store.write([Change(DUE, b"1", b"v")])
    store.clear(LANE)
    assert not list(store.scan(LANE, b"", None))
    assert store.get(LANE, b"%08d" % 7) is None
    assert store.get(DUE, b"1") == b"v"
    store.write([Change(LANE, b"2", b"v")])
    store.close()
    again = RocksStore(tmp_path)
    assert list(again.scan(LANE, b"", None)) == [(b"2", b"v")]
    again.close()


def test_what_was_written_at_risk_is_there_once_it_is_kept(tmp_path: Path) -> None:
    """A process that is killed in the middle of either: what it wrote before is there."""
    ended = subprocess.run([sys.executable, "-c", _KILLED, str(tmp_path)], check=False)
    assert ended.returncode == -signal.SIGKILL
    store = RocksStore(tmp_path)
    assert store.get(META, b"mark") == b"v"
    assert store.get(META, b"kept") == b"v"
    assert len(list(store.scan(OPEN, b"", None))) == 1_000
    assert store.get(META, b"logged") == b"v"
    store.close()


_KILLED = """
import os, signal, sys
from pathlib import Path
from streams.kafka.store import RocksStore
from streams.worker.ports import Change

store = RocksStore(Path(sys.argv[1]))
store.write([Change("meta", b"mark", b"v")])
store.risk()
store.write([Change("open", b"%d" % n, b"v") for n in range(1_000)])
store.write([Change("meta", b"kept", b"v")])
store.keep()
store.write([Change("meta", b"logged", b"v")])
store.risk()
store.write([Change("open", b"lost", b"v")])
os.kill(os.getpid(), signal.SIGKILL)
"""
