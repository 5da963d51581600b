"""What a definition may ask for of jobs that are alike, and what two jobs are alike in."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from streams import Debounce, Event, JobPayload, Unique, job
from streams.errors import RegistrationError
from streams.jobs.definition import JobDefinition
from streams.jobs.registry import Registry
from streams.jobs.single import Kind, SingleRule


class Sync(JobPayload, name="sync", key="account"):
    account: int
    month: str = ""


class Computed(JobPayload, name="computed", key=lambda payload: payload.account % 2):
    account: int


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
    ("given", "rule"),
    [
        (Unique(by="key"), SingleRule(kind=Kind.UNTIL_OVER)),
        (Unique(by="key", until="started"), SingleRule(kind=Kind.UNTIL_STARTED)),
        (Unique(by="key", for_="1h"), SingleRule(kind=Kind.UNTIL_OVER, ms=3_600_000)),
        (
            Unique(by=("account", "month")),
            SingleRule(kind=Kind.UNTIL_OVER, fields=("account", "month")),
        ),
        (Unique(by=["account"]), SingleRule(kind=Kind.UNTIL_OVER, fields=("account",))),
    ],
)
def test_unique_is_by_key_or_fields_and_until(given: Unique, rule: SingleRule) -> None:
    def handler(payload: Sync) -> None: ...

    found = definition(job(unique=given)(handler))
    assert found.mistakes == ()
    assert found.single == rule


@pytest.mark.parametrize(
    ("kind", "options", "said"),
    [
        (Loose, {"unique": Unique(by="key")}, "unique needs a key, for which it lets one job run"),
        (
            Loose,
            {"unique": Unique(by=("n",))},
            "unique by 'n' needs a key that is one of these, or jobs that are the same come to",
        ),
        (Sync, {"unique": Unique(by=("month",))}, 'name one in the contract (key="...")'),
        (Computed, {"unique": Unique(by=("account",))}, "needs a key that is one of these"),
        (Sync, {"unique": Unique(by=("account", "mnth"))}, "Sync has no field 'mnth' (account, mo"),
        (Sync, {"unique": Unique(by="account")}, 'as in by=("account_id",)'),
        (Sync, {"unique": Unique(by=())}, 'unique: by=(): write by="key"'),
        (Sync, {"unique": Unique(by=(1,))}, 'write by="key"'),  # type: ignore[arg-type]
        (Sync, {"unique": "key"}, 'write unique=Unique(by="key")'),
        (
            Sync,
            {"unique": Unique(by="key", until="done")},  # type: ignore[arg-type]
            'write "started" or "over"',
        ),
        (Sync, {"unique": Unique(by="key", for_="0s")}, "unique: for_='0s' must be longer than"),
        (Sync, {"unique": Unique(by="key", for_="x")}, "unique: for_: 'x' is no duration"),
        (
            Sync,
            {"unique": Unique(by="key", until="started", for_="1h")},
            'for_ counts from the end of a job, and until="started" ends before it',
        ),
        (
            Sync,
            {"unique": Unique(by="key", for_="1h"), "ledger": False, "ordering": "none"},
            "unique: for_ counts from a job that may be over, and ledger=False keeps no record",
        ),
        (Sync, {"unique": Unique(by="key"), "debounce": "1s"}, "debounce and unique contradict"),
        (
            Loose,
            {"debounce": "1s"},
            "debounce needs a key, for which it lets one job run: name one",
        ),
        (Sync, {"debounce": "0s"}, "debounce='0s' must be longer than nothing"),
        (Sync, {"debounce": 5}, "debounce: 5 is no duration"),
        (Sync, {"debounce": Debounce("x")}, "debounce: 'x' is no duration"),
        (Sync, {"debounce": Debounce("5s", at_most="x")}, "debounce: at_most: 'x' is no duration"),
        (Sync, {"debounce": Debounce("5s", at_most="4s")}, "at_most='4s' is less than the 5s"),
        (Sync, {"debounce": "1s", "throttle": "1s"}, "write one of them"),
        (
            Loose,
            {"throttle": "1h"},
            "throttle needs a key, for which it lets one job run: name one",
        ),
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


def test_an_end_counts_no_longer_than_the_ledger_is_kept() -> None:
    said = refused(unique=Unique(by="key", for_="4d"))
    assert "unique: for_ is 4d, but the ledger is kept for 3d" in said


def test_without_a_ledger_a_job_is_unique_as_long_as_it_is_open() -> None:
    assert mistakes_of(unique=Unique(by="key"), ledger=False, ordering="none") == ""


BY_MONTH = SingleRule(kind=Kind.UNTIL_OVER, fields=("account", "month"))


def test_jobs_are_alike_in_the_values_of_their_fields() -> None:
    def scope(payload: bytes) -> str | None:
        return BY_MONTH.scope("sync", "sync:1", Sync, payload)

    # what is left out has its default, and other fields do not matter
    assert scope(b'{"account": 1, "month": "", "n": 1}') == scope(b'{"n": 2, "account": "1"}')
    assert scope(b'{"account": 1, "month": "a"}') != scope(b'{"account": 1, "month": "b"}')
    # what can't be read is like nothing, and fails when it runs
    assert scope(b"{}") is None
    assert scope(b"\xff") is None


RULE = SingleRule(kind=Kind.THROTTLE, ms=1)


def test_jobs_are_alike_in_their_name_and_key() -> None:
    scopes = {
        RULE.scope(name, key, Sync, b'{"account": 1}')
        for name in ("sync", "other")
        for key in ("a:1", "a:2")
    }
    assert len(scopes) == 4
    assert RULE.scope("sync", "a:1", Sync, b"") == RULE.scope("sync", "a:1", Sync, b"{}")
