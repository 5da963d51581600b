"""What counts as the same outcome, and how a difference is told."""

from __future__ import annotations

from typing import Any

import pytest

from streams.replay.comparing import Account, Difference, Ended, Sent, differences


def completed(result: bytes | None = None, **more: Any) -> Account:
    return Account(ended=Ended.COMPLETED, result=result, **more)


def failed(error: str, message: str = "") -> Account:
    return Account(ended=Ended.FAILED, error=error, message=message)


def sent(*payloads: bytes, name: str = "mail") -> tuple[Sent, ...]:
    return tuple(Sent(name=name, key=None, payload=payload) for payload in payloads)


@pytest.mark.parametrize(
    ("then", "now"),
    [
        (completed(), completed()),
        (completed(b'{"a": 1, "b": 2}'), completed(b'{"b":2,"a":1}')),
        (failed("ValueError", "order 7"), failed("ValueError", "order 8")),
        (completed(sent=sent(b"1", b"2")), completed(sent=sent(b"2", b"1"))),
    ],
    ids=["nothing returned", "order of fields", "messages", "order of children"],
)
def test_what_is_the_same(then: Account, now: Account) -> None:
    assert differences(then, now) == ()


@pytest.mark.parametrize(
    ("then", "now", "what", "before", "after"),
    [
        (completed(b"1"), completed(b"2"), "result", "1", "2"),
        (completed(b"1"), completed(b"true"), "result", "1", "true"),
        (completed(), completed(b"0"), "result", "null", "0"),
        (
            completed(b"1"),
            failed("ValueError", "no\nmore"),
            "outcome",
            "completed",
            "failed: ValueError: no",
        ),
        (failed("KeyError"), failed("OSError"), "error", "failed: KeyError", "failed: OSError"),
        (
            completed(sent=sent(b"1", b"1")),
            completed(sent=sent(b"1", b'{"b":1,"a":2}')),
            "sent",
            "mail 1",
            'mail {"a":2,"b":1}',
        ),
        (completed(), completed(sent=sent(b"1")), "sent", "nothing else", "mail 1"),
    ],
)
def test_what_differs(then: Account, now: Account, what: str, before: str, after: str) -> None:
    assert differences(then, now) == (Difference(what=what, then=before, now=after),)


def test_fields_that_are_ignored_are_so_wherever_they_are() -> None:
    then = completed(b'{"at": 1, "rows": [{"at": 2, "id": 3}]}', sent=sent(b'{"at": 1}'))
    now = completed(b'{"at": 5, "rows": [{"at": 6, "id": 3}]}', sent=sent(b'{"at": 2}'))

    assert {each.what for each in differences(then, now)} == {"result", "sent"}
    assert differences(then, now, frozenset({"at"})) == ()


def test_what_is_told_is_bounded() -> None:
    many = sent(*(b"%d" % number for number in range(9)))
    (children,) = differences(completed(), completed(sent=many))
    assert children.now == "mail 0; mail 1; mail 2; mail 3; mail 4; 4 more"

    (result,) = differences(completed(), completed(b'"%s"' % (b"x" * 10_000)))
    assert len(result.now) < 600
