"""For which topics a console takes events."""

from __future__ import annotations

from collections.abc import Collection

import pytest

from streams.console.cloudevents import Incoming, check_types
from streams.errors import PayloadInvalid
from streams.settings import Settings


def check(types: Collection[str], known: Collection[str], allowed: str) -> None:
    events = [Incoming(id="1", source="/x", type=type, time=None, data=b"{}") for type in types]
    check_types(events, known, Settings(event_topics=allowed).event_topics)


@pytest.mark.parametrize(
    ("type", "known", "allowed"),
    [
        ("user.signed_up", {"user.signed_up"}, ""),
        ("orders.paid", {"user.signed_up"}, "orders.paid, orders.sent"),
        ("anything.else", (), "*"),
    ],
)
def test_what_handlers_take_or_settings_name_is_taken(
    type: str, known: Collection[str], allowed: str
) -> None:
    check([type], known, allowed)


@pytest.mark.parametrize(
    ("known", "allowed"),
    [((), ""), ({"user.signed_up"}, ""), ((), "orders"), ({"user.signed_up"}, "orders.*")],
)
def test_what_nobody_named_is_refused_with_the_setting(
    known: Collection[str], allowed: str
) -> None:
    with pytest.raises(PayloadInvalid, match="STREAMS_EVENT_TOPICS") as refused:
        check(["orders.paid"], known, allowed)
    assert refused.value.field == "type"


def test_one_that_is_refused_refuses_the_batch() -> None:
    with pytest.raises(PayloadInvalid, match=r"orders\.paid"):
        check(["user.signed_up", "orders.paid"], {"user.signed_up"}, "")
