"""The program of `streams bench console`: a projection in a process of its own, and its pages."""

from __future__ import annotations

import asyncio
import os
import random
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from sqlite3 import Connection
from typing import Any, Final

import orjson

from streams.dev.bench.job_mix import ERRORS, KEYS, NAMES, JobMix, some_id
from streams.dev.bench.memory import peak_mb
from streams.dev.bench.statistics import percentile
from streams.garbage import tune_garbage_collection
from streams.listed import Listed
from streams.projection.connecting import connect
from streams.projection.feed import Feed
from streams.projection.filter import Cursor, Filter, read_states
from streams.projection.listing import Listing
from streams.projection.numbers import counts, ended, failures, oldest_waiting
from streams.projection.retention import Retention
from streams.wire.topics import TopicNames

PAGE: Final = 50
_ALL: Final = Listed(None, None)
_DEEP: Final = 20  # pages one behind the other
Ask = Callable[[Connection], Any]


async def project(bootstrap: str, prefix: str, path: Path, jobs: int, now: int, asks: int) -> Any:
    """Build a projection, then ask it for pages while it goes on; the figures of both."""
    tune_garbage_collection()  # as a console does
    keep_all = Retention(over=_ALL, failed=_ALL)
    feed = Feed(bootstrap, TopicNames(prefix), ("default",), path, retention=keep_all)
    began, cpu = time.monotonic(), time.process_time()
    reading = asyncio.create_task(feed.run())
    told = began
    while not feed.is_built:
        if reading.done():
            await reading
        if time.monotonic() - told > 10:
            told = time.monotonic()
            _say({"told": f"{feed.records:,} records, {feed.share:.0%}"})
        await asyncio.sleep(0.02)
    took, cpu = time.monotonic() - began, time.process_time() - cpu
    records = feed.records
    _say({"built": records})
    built_mb = peak_mb(os.getpid())
    seconds = await _ask(path, jobs, now, asks)
    reading.cancel()
    with suppress(asyncio.CancelledError):
        await reading
    each = [ms for times in seconds.values() for ms in times]
    return {
        "records_per_second": records / took,
        "records": records,
        "cpu_us_per_record": cpu / records * 1e6,
        "build_seconds": took,
        "built_rss_mb": built_mb,
        "page_p50_ms": percentile(each, 50),
        "page_p95_ms": percentile(each, 95),
        "page_p99_ms": percentile(each, 99),
        "page_max_ms": max(each),
        "p95_ms": {name: percentile(times, 95) for name, times in seconds.items()},
        "rss_mb": peak_mb(os.getpid()),
        "file_mb": os.stat(path).st_size / 1e6,
        "followed_records": feed.records - records,
    }


async def _ask(path: Path, jobs: int, now: int, asks: int) -> dict[str, list[float]]:
    """How long each question took, as whoever awaits it has it; milliseconds."""
    loop = asyncio.get_running_loop()
    seconds: dict[str, list[float]] = {}
    with ThreadPoolExecutor(1, initializer=_connect, initargs=(path,)) as readers:
        for name, ask in _questions(jobs, now, asks):
            began = time.perf_counter()
            await loop.run_in_executor(readers, _answer, ask)
            seconds.setdefault(name, []).append((time.perf_counter() - began) * 1000)
    return seconds


_db: list[Connection] = []


def _connect(path: Path) -> None:
    _db[:] = [connect(path)]


def _answer(ask: Ask) -> Any:
    return ask(_db[0])


def _questions(jobs: int, now: int, asks: int) -> Iterator[tuple[str, Ask]]:
    rng = random.Random(1)
    mix = JobMix(jobs, now, 1)
    hour = 60 * 60 * 1000
    for _ in range(asks):
        name, error = rng.choice(NAMES), rng.choice(ERRORS)
        id_, _, key, _ = mix.job(rng.randrange(jobs) // 5 * 5 + 1)
        filters = {
            "all": Filter(),
            "completed": Filter(states=read_states("completed")),
            "failed": Filter(states=read_states("failed")),
            "waiting": Filter(states=read_states("waiting")),
            "name": Filter(name=name),
            "name and state": Filter(name=name, states=read_states("delayed")),
            "key": Filter(key=f"{name}:{rng.randrange(KEYS)}"),
            "bare key": Filter(key=str(rng.randrange(KEYS))),
            "key and state": Filter(key=key, states=read_states("completed")),
            "error": Filter(error=error),
            "error and name": Filter(error=error, name=name),
            "an hour": Filter(since=now - 3 * hour, until=now - 2 * hour),
            "text": Filter(text="no answer"),
            "text of one": Filter(text=id_[9:]),
            "text of none": Filter(text=f"nowhere {rng.random()}"),
            "text and name": Filter(text="7 no answer", name=name),
        }
        for told, wanted in filters.items():
            for newest_first in (True, False):
                yield told, _first(wanted, newest_first)
        middle = Cursor(now - rng.randrange(12 * hour), rng.randrange(jobs), rng.random() < 0.5)
        for told in ("all", "completed", "name", "error", "text"):
            yield f"{told}, from the middle", _behind(filters[told], middle)
        yield "by id", _with_id(id_)
        yield "by no id", _with_id(some_id())
        yield "counts", counts
        yield (
            "overview",
            lambda db: (
                counts(db),
                oldest_waiting(db),
                failures(db, now - hour),
                list(ended(db, now - hour, every_ms=60_000)),
            ),
        )
    pages = _Pages(Filter())
    for _ in range(_DEEP):
        yield "one page behind the other", pages.turn


def _first(wanted: Filter, newest_first: bool) -> Ask:
    return lambda db: Listing(db).page(wanted, limit=PAGE, newest_first=newest_first)


def _behind(wanted: Filter, cursor: Cursor) -> Ask:
    return lambda db: Listing(db).page(wanted, limit=PAGE, cursor=cursor)


def _with_id(id_: str) -> Ask:
    return lambda db: Listing(db).with_id(id_)


class _Pages:
    """Turns them, one after the other."""

    def __init__(self, wanted: Filter) -> None:
        self._wanted = wanted
        self._cursor: Cursor | None = None

    def turn(self, db: Connection) -> None:
        self._cursor = Listing(db).page(self._wanted, limit=500, cursor=self._cursor).cursor


def _say(value: Any) -> None:
    print(orjson.dumps(value).decode(), flush=True)


def main() -> None:
    """`python -m streams.dev.bench.projecting BOOTSTRAP PREFIX PATH JOBS NOW ASKS`."""
    bootstrap, prefix, path, *numbers = sys.argv[1:]
    jobs, now, asks = map(int, numbers)
    _say({"figures": asyncio.run(project(bootstrap, prefix, Path(path), jobs, now, asks))})


if __name__ == "__main__":
    main()
