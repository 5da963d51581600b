"""What the control topic and the handlers say of schedules, together."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from streams import Every, Tick, job
from streams.jobs.discovery import handlers_among
from streams.jobs.registry import Registry
from streams.schedules.book import Known, read_book
from streams.wire.envelope import Record
from streams.wire.schedules import (
    Added,
    Halt,
    Ticked,
    encode_added,
    encode_halt,
    encode_ticked,
    forgotten,
)
from streams.worker.control import Control


@job(name="hourly", cron=Every("1h"))
async def hourly(tick: Tick) -> None: ...


REGISTRY = Registry.build(handlers_among([hourly]), ("default", "bulk"))
ADDED = Added(schedule=Every("1m"), job="bill", queue="bulk", key=None, payload=b"{}")


def ticked(*, is_added: bool = False, gone: int | None = None, fired: int = 1) -> Ticked:
    return Ticked(last=1_000, shape="?", queue="bulk", is_added=is_added, gone=gone, fired=fired)


def book_of(*records: tuple[bytes, bytes | None]) -> dict[str, Known]:
    no_log: Any = None
    control = Control(no_log, "jobs.control")
    for offset, (key, value) in enumerate(records):
        control.take(Record("jobs.control", 0, offset, 0, key, value))
    return read_book(REGISTRY, control)


def test_those_of_the_code_are_known_without_any_record():
    assert {name: each.origin for name, each in book_of().items()} == {"hourly": "code"}


def test_those_that_were_added_and_those_that_are_gone():
    book = book_of(
        encode_added("billing", ADDED),
        encode_halt("billing", Halt(at=5, is_paused=True)),
        encode_ticked("gone", ticked(gone=2_000)),
        encode_added("hourly", ADDED),  # the code came to have it later
    )
    assert {name: each.origin for name, each in book.items()} == {
        "billing": "added",
        "gone": "retired",
        "hourly": "code",
    }
    assert book["billing"].pause == Halt(at=5, is_paused=True)
    assert book["hourly"].queue == "default"


def test_one_that_was_removed_is_not_there_whatever_its_last_tick_wrote():
    added = encode_added("billing", ADDED)
    late = encode_ticked("billing", ticked(is_added=True))
    assert set(book_of(added, late, *forgotten("billing"), late)) == {"hourly"}


def test_a_record_that_says_nothing_is_left_out():
    assert set(book_of((b"cron-added:x", b"?"), (b"cron:y", b"{}"))) == {"hourly"}


def test_one_that_workers_fire_and_nobody_here_knows_is_elsewhere():
    book = book_of(
        encode_ticked("theirs", ticked()),
        encode_ticked("quiet", ticked()),
        encode_halt("quiet", Halt(at=5, is_paused=True)),
        encode_ticked("gone", ticked(gone=2_000)),
    )
    del book["hourly"]
    assert {name: each.origin for name, each in book.items()} == {
        "gone": "retired",
        "quiet": "elsewhere",
        "theirs": "elsewhere",
    }
    assert {name: each.state(3_000) for name, each in book.items()} == {
        "gone": "retired",
        "quiet": "paused",
        "theirs": "elsewhere",
    }


def test_the_birth_of_a_schedule_is_no_tick():
    book = book_of(
        encode_ticked("new", ticked(fired=0)),
        encode_ticked("theirs", ticked()),
        encode_ticked("hourly", replace(ticked(fired=0), last=3_600_000)),
    )
    assert book["new"].last_tick() is None
    assert book["theirs"].last_tick() == 1_000
    assert book["hourly"].last_tick() is None  # though it was born at a full hour
