"""What a definition may ask for of jobs that are alike, and what two jobs are alike in."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from streams import Debounce, Event, JobPayload, job
from streams.errors import RegistrationError
from streams.jobs.definition import JobDefinition
from streams.jobs.registry import Registry
from streams.jobs.single import Kind, SingleRule


class Sync(JobPayload, name="sync", key="account"):
    account: int
    month: str = ""


class Loose(JobPayload, name="loose"):
    n: int


class Changed(Event, type="changed", key="account"):
    account: int


def definition(handler: Callable[..., Any]) -> JobDefinition:
    found = handler.__job_definition__  # type: ignore[attr-defined]
    assert isinstance(found, JobDefinition)
    return found


def mistakes_of(kind: Any = Sync, **options: Any) -> str:
    def handler(payload: Any) -> None: ...

    handler.__annotations__["payload"] = kind
    return "\n".join(definition(job(**options)(handler)).mistakes)


def refused(kind: Any = Sync, ledger_kept_ms: int = 3 * 86_400_000, **options: Any) -> str:
    def handler(payload: Any) -> None: ...

    handler.__annotations__["payload"] = kind
    with pytest.raises(RegistrationError) as error:
        Registry.build(
            [definition(job(**options)(handler))], ("default",), ledger_kept_ms=ledger_kept_ms
        )
    return str(error.value)


@pytest.mark.parametrize("given", ["1h", timedelta(hours=1)])
@pytest.mark.parametrize("kind", [Sync, Changed])
def test_a_throttle_is_a_period(given: Any, kind: Any) -> None:
    def handler(payload: Any) -> None: ...

    handler.__annotations__["payload"] = kind
    found = definition(job(throttle=given)(handler))
    assert found.mistakes == ()
    assert found.single == SingleRule(kind=Kind.THROTTLE, ms=3_600_000)


def test_plain_parameters_are_throttled_by_their_key() -> None:
    @job(throttle="1h", key="account")
    def plain(account: int) -> None: ...

    assert definition(plain).single is not None


@pytest.mark.parametrize(
    ("given", "rule"),
    [
        ("5s", SingleRule(kind=Kind.DEBOUNCE, ms=5_000)),
        (Debounce("5s"), SingleRule(kind=Kind.DEBOUNCE, ms=5_000)),
        (
            Debounce("5s", at_most="1m"),
            SingleRule(kind=Kind.DEBOUNCE, ms=5_000, at_most_ms=60_000),
        ),
    ],
)
def test_a_debounce_is_a_quiet_time_and_perhaps_a_bound(given: Any, rule: SingleRule) -> None:
    def handler(payload: Sync) -> None: ...

    found = definition(job(debounce=given)(handler))
    assert found.mistakes == ()
    assert found.single == rule


@pytest.mark.parametrize(
    ("kind", "options", "said"),
    [
        (Loose, {"debounce": "1s"}, "debounce needs a key, of whose burst one job runs: name one"),
        (Sync, {"debounce": "0s"}, "debounce='0s' must be longer than nothing"),
        (Sync, {"debounce": 5}, "debounce: 5 is no duration"),
        (Sync, {"debounce": Debounce("x")}, "debounce: 'x' is no duration"),
        (Sync, {"debounce": Debounce("5s", at_most="x")}, "debounce: at_most: 'x' is no duration"),
        (Sync, {"debounce": Debounce("5s", at_most="4s")}, "at_most='4s' is less than the 5s"),
        (Sync, {"debounce": "1s", "throttle": "1s"}, "write one of them"),
        (Loose, {"throttle": "1h"}, "throttle needs a key, of which it lets one job run: name one"),
        (Sync, {"throttle": "0s"}, "throttle='0s' must be longer than nothing"),
        (Sync, {"throttle": "soon"}, "throttle: 'soon' is no duration"),
        (Sync, {"throttle": 5}, "throttle: 5 is no duration"),
        (Sync, {"throttle": "1h", "ledger": False, "ordering": "none"}, "leave one of them out"),
    ],
)
def test_what_does_not_fit_is_told_with_a_remedy(kind: Any, options: Any, said: str) -> None:
    assert said in mistakes_of(kind, **options)


def test_plain_parameters_without_a_key_are_told_where_to_give_it() -> None:
    @job(throttle="1h")
    def plain(account: int) -> None: ...

    (mistake,) = definition(plain).mistakes
    assert mistake.endswith("give key=... here")


def test_a_period_is_no_longer_than_the_ledger_is_kept() -> None:
    said = refused(throttle="4d")
    assert "throttle is 4d, but the ledger is kept for 3d" in said
    assert "raise STREAMS_LEDGER_KEPT" in said


@pytest.mark.parametrize(
    ("debounce", "fits"),
    [
        ("59s", True),
        ("1m", False),
        (Debounce("1s", at_most="59s"), True),
        (Debounce("1s", at_most="1m"), False),
    ],
)
def test_what_waits_for_others_does_not_expire_meanwhile(debounce: Any, fits: bool) -> None:
    @job(debounce=debounce, expires="1m")
    def handler(payload: Sync) -> None: ...

    if fits:
        Registry.build([definition(handler)], ("default",))
        return
    with pytest.raises(RegistrationError, match="debounce lets a job wait for 1m, but it expires"):
        Registry.build([definition(handler)], ("default",))


RULE = SingleRule(kind=Kind.THROTTLE, ms=1)


def test_jobs_are_alike_in_their_name_and_key() -> None:
    scopes = {
        RULE.scope(name, key, Sync, b'{"account": 1}')
        for name in ("sync", "other")
        for key in ("a:1", "a:2")
    }
    assert len(scopes) == 4
    assert RULE.scope("sync", "a:1", Sync, b"") == RULE.scope("sync", "a:1", Sync, b"{}")
