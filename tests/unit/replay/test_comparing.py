"""What counts as the same outcome, and how a difference is told."""

from __future__ import annotations

from typing import Any

import pytest

from streams.replay.comparing import (
    TOLD_MAX,
    Account,
    Difference,
    Ended,
    Sent,
    around_difference,
    differences,
    fields_of,
)


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


def test_all_of_a_difference_is_there() -> None:
    many = sent(*(b"%d" % number for number in range(9)))
    (children,) = differences(completed(), completed(sent=many))
    assert children.now == "; ".join(f"mail {number}" for number in range(9))

    (result,) = differences(completed(), completed(b'"%s"' % (b"x" * 10_000)))
    assert len(result.now) == 10_002


def test_what_is_very_large_is_bounded() -> None:
    (result,) = differences(completed(), completed(b'"%s"' % (b"x" * 3_000_000)))
    assert TOLD_MAX < len(result.now) < TOLD_MAX + 100
    assert result.now.endswith("... (3,000,002 characters)")


@pytest.mark.parametrize(
    ("then", "now", "at"),
    [
        (b"1", b"2", ""),
        (b'{"a":{"b":1}}', b'{"a":{"b":2}}', "a.b"),
        (
            b'{"a":1,"rows":[{"id":1},{"id":2}]}',
            b'{"a":1,"rows":[{"id":1},{"id":3}]}',
            "rows[1].id",
        ),
        (b"[1,2]", b"[1,2,3]", "[2]"),
        (b'{"a":[1]}', b'{"a":{"b":1}}', "a"),
        (b'{"b":1}', b'{"a":1,"b":2}', "a"),
        (b'{"a":1}', b'{"a":true}', "a"),
        (b"not json", b"1", ""),
    ],
)
def test_where_results_begin_to_differ(then: bytes, now: bytes, at: str) -> None:
    (result,) = differences(completed(then), completed(now))
    assert result.at == at


def test_of_long_texts_that_part_is_shown_in_which_they_begin_to_differ() -> None:
    then, now = "a" * 3_000 + "b" + "c" * 3_000, "a" * 3_000 + "d" + "c" * 3_000
    before, after = around_difference(then, now, 500)
    assert "aab" in before
    assert "aad" in after
    assert after.endswith("(differs from character 3,001 of 6,001 on)")
    assert len(before) < 600
    assert around_difference("a", "b" * 500, 500) == ("a", "b" * 500)
    assert around_difference("a" * 600, "a" * 900, 500)[0].endswith("after 600 characters)")


def test_fields_are_found_wherever_they_are() -> None:
    account = completed(b'{"at": [{"id": {"x": 1}}]}', sent=sent(b'{"how": 1}', b"no json"))
    assert fields_of(account) == {"at", "id", "x", "how"}
