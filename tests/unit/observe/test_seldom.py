"""A library that repeats itself."""

from __future__ import annotations

import logging

from streams.observe.seldom import EVERY, KINDS_KEPT, Seldom


def record(message: str, *args: object, name: str = "aiokafka.client") -> logging.LogRecord:
    return logging.LogRecord(name, logging.ERROR, __file__, 1, message, args, None)


def test_one_kind_passes_once_in_a_while_with_its_count() -> None:
    now = 0.0
    seldom = Seldom(["aiokafka"], clock=lambda: now)
    assert seldom.filter(record("no connection to %s", "a:1"))
    assert not seldom.filter(record("no connection to %s", "b:2"))
    assert not seldom.filter(record("no connection to %s", "a:1"))
    assert seldom.filter(record("something else"))
    now = EVERY
    again = record("no connection to %s", "a:1")
    assert seldom.filter(again)
    assert again.getMessage().startswith("no connection to a:1 (2 more like it")
    now = 2 * EVERY
    last = record("no connection to %s", "a:1")
    assert seldom.filter(last)
    assert last.getMessage() == "no connection to a:1"


def test_others_always_pass_and_kinds_do_not_pile_up() -> None:
    seldom = Seldom(["aiokafka"], clock=lambda: 0.0)
    assert all(seldom.filter(record("job", name="streams.jobs")) for _ in range(3))
    for number in range(3 * KINDS_KEPT):
        assert seldom.filter(record(f"kind {number}"))
    assert len(seldom._told) <= KINDS_KEPT
