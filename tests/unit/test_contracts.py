"""Contracts say where they go, and refuse what makes no sense when they are defined."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from schemas.users import UserSignedUp
from streams.contracts import Event, JobPayload


class Send(JobPayload, name="reports.send", key="account", key_scope="account", queue="bulk"):
    account: int | None


class Loose(JobPayload, name="loose"):
    n: int


def test_a_contract_keeps_what_its_class_arguments_say() -> None:
    assert (Send.__job_name__, Send.__queue__) == ("reports.send", "bulk")
    assert (Send.__key__, Send.__key_scope__) == ("account", "account")
    assert (Loose.__queue__, Loose.__key__, Loose.__key_scope__) == ("default", None, None)


def test_the_ordering_key_is_a_field_as_text() -> None:
    assert Send(account=7).ordering_key() == "7"
    assert Send(account=None).ordering_key() is None
    assert Loose(n=1).ordering_key() is None


def test_the_ordering_key_may_be_a_function_of_the_model() -> None:
    class Moved(Event, type="moved", key=lambda moved: f"{moved.a}/{moved.b}"):
        a: int
        b: int

    assert Moved(a=1, b=2).ordering_key() == "1/2"


def test_a_subclass_inherits_what_it_does_not_say_again() -> None:
    class Base(Event, type="base", key="a", key_scope="shared"):
        a: int

    class More(Base, type="more"):
        b: int = 0

    assert (More.__event_type__, More.__key__, More.__key_scope__) == ("more", "a", "shared")
    assert More(a=3).ordering_key() == "3"


def test_a_key_that_is_no_field_is_refused_with_the_fields() -> None:
    with pytest.raises(TypeError, match=r"key='acount' is not one of its fields \(account, n\)"):

        class Wrong(JobPayload, name="wrong", key="acount"):
            account: int
            n: int


@pytest.mark.parametrize("arguments", [{"tpye": "a"}, {"type": "a", "key": 7}])
def test_a_class_argument_that_makes_no_sense_is_refused(arguments: dict[str, Any]) -> None:
    with pytest.raises(TypeError, match=r"tpye|key=7"):
        type("Wrong", (Event,), {}, **arguments)


def test_pydantic_own_class_arguments_stay_possible() -> None:
    class Frozen(Event, type="frozen", frozen=True):
        a: int

    with pytest.raises(ValidationError):
        Frozen(a=1).a = 2  # type: ignore[misc]


def test_the_sign_up_is_keyed_by_its_user_and_checks_its_address() -> None:
    event = UserSignedUp(user_id=42, email="ada@example.org")

    assert (event.__event_type__, event.ordering_key()) == ("user.signed_up", "42")
    with pytest.raises(ValidationError):
        UserSignedUp(user_id=42, email="ada")
