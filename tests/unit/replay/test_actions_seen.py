"""Actions, put together from what their topic tells."""

from __future__ import annotations

from dataclasses import replace

from streams.replay.actions_seen import ActionsSeen
from streams.wire.actions import OperatorAction, encode_action


def began(id: str, at: int = 1) -> OperatorAction:
    return OperatorAction(id=id, at=at, by="ada", what="dlq replay", on="--all")


def ended(action: OperatorAction, at: int) -> OperatorAction:
    return replace(action, at=at, ended=True, counts={"replayed": 3})


def test_an_action_has_when_it_began_and_when_it_ended() -> None:
    seen = ActionsSeen()
    seen.note(began("a", 5))
    assert seen.get("a") == (began("a", 5), None)
    seen.note(ended(began("a"), 9))
    action, at = seen.get("a") or (None, None)
    assert action is not None
    assert (action.at, at, action.counts) == (5, 9, {"replayed": 3})


def test_what_is_read_again_changes_nothing() -> None:
    seen = ActionsSeen()
    for each in (began("a", 5), ended(began("a"), 9)):
        seen.note(each)
    before = seen.latest()
    for each in (began("a", 5), ended(began("a"), 9)):
        seen.note(each)
    assert seen.latest() == before


def test_the_latest_are_kept_and_come_first() -> None:
    seen = ActionsSeen(most=2)
    for at, id in enumerate("abc"):
        seen.note(began(id, at))
    assert [action.id for action, _ in seen.latest()] == ["c", "b"]
    assert seen.get("a") is None


def test_what_is_no_action_is_passed_over() -> None:
    seen = ActionsSeen()
    for value in (None, b"", b"{}", b"\xff"):
        seen.take(value)
    seen.take(encode_action(began("a"))[1])
    assert [action.id for action, _ in seen.latest()] == ["a"]
