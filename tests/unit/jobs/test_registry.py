"""The registry: definitions that fit together, or every mistake at once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from streams.contracts import Event, JobPayload
from streams.errors import RegistrationError
from streams.jobs.decorator import job
from streams.jobs.definition import JobDefinition, QueueDefaults
from streams.jobs.registry import Registry
from streams.jobs.retry import Fixed, Retry

QUEUES = ("critical", "default", "bulk")


class Signed(Event, type="user.signed_up", key="user_id"):
    user_id: int


class Report(JobPayload, name="report", queue="bulk"):
    account: int


def definitions(*handlers: Callable[..., Any]) -> list[JobDefinition]:
    return [fn.__job_definition__ for fn in handlers]  # type: ignore[attr-defined]


def mistakes(*handlers: Callable[..., Any], **options: Any) -> list[str]:
    with pytest.raises(RegistrationError) as raised:
        Registry.build(definitions(*handlers), QUEUES, **options)
    return str(raised.value).splitlines()


def test_finds_by_name_and_by_event() -> None:
    @job(name="first")
    def first(user: Signed) -> None: ...

    @job(name="second")
    def second(user: Signed) -> None: ...

    @job
    def report(payload: Report) -> None: ...

    registry = Registry.build(definitions(first, second, report), QUEUES)

    assert [found.name for found in registry.subscribers("user.signed_up")] == ["first", "second"]
    assert registry.subscribers("other") == ()
    assert registry.event_types() == {"user.signed_up"}
    assert (found := registry.by_name("report")) is not None and found.handler is report
    assert registry.by_name("other") is None
    assert registry.queues() == QUEUES


def test_a_handler_that_is_found_twice_is_one() -> None:
    @job
    def report(payload: Report) -> None: ...

    registry = Registry.build(definitions(report, report), QUEUES)

    assert len(registry.definitions()) == 1


def test_two_handlers_of_one_payload() -> None:
    @job
    def one(payload: Report) -> None: ...

    @job
    def other(payload: Report) -> None: ...

    [line] = mistakes(one, other)

    first, second = definitions(one, other)
    assert line.startswith(f"{__file__}:{second.line}: report: Report is handled at {first.place}")
    assert "remove one of them" in line


def test_two_definitions_with_one_name() -> None:
    @job(name="same")
    def one(user: Signed) -> None: ...

    @job(name="same")
    def other(user: Signed) -> None: ...

    [line] = mistakes(one, other)

    assert "this name is taken at" in line
    assert "give one of them another name" in line


def test_an_unknown_queue_names_those_that_are_known() -> None:
    @job(name="a", queue="slow")
    def handle(user: Signed) -> None: ...

    [line] = mistakes(handle)

    assert "unknown queue 'slow'; known are critical, default, bulk" in line
    assert "STREAMS_QUEUES" in line


@pytest.mark.parametrize("kind", ["Bad Type!", "größe", "a/b", "..", "x" * 201, "jobs.default"])
def test_an_event_type_has_to_be_a_topics_name(kind: str) -> None:
    class Wrong(Event, type=kind):
        n: int

    @job(name="a")
    def handle(event: Wrong) -> None: ...

    [line] = mistakes(handle)

    assert line.startswith(f"{__file__}:{definitions(handle)[0].line}: a: event type {kind!r}")
    assert "use up to 200 letters" in line or "rename" in line


def test_uniqueness_cannot_outlast_the_ledger() -> None:
    @job(name="a", unique_for="4d")
    def handle(user: Signed) -> None: ...

    [line] = mistakes(handle, ledger_kept_ms=3 * 86_400_000)

    assert "unique_for is 4d, but the ledger is kept for 3d" in line
    assert Registry.build(definitions(handle), QUEUES, ledger_kept_ms=4 * 86_400_000)


def test_all_mistakes_are_told_at_once_each_with_file_and_line() -> None:
    @job(name="a", queue="slow", timeout="0s", unique_for="9d")
    def one(user: Signed) -> None: ...

    @job(ordering="strict", retry=Retry(attempts=0))
    def other(payload: Report) -> None: ...

    lines = mistakes(one, other)

    assert len(lines) == 5
    places = [found.place for found in definitions(one, other)]
    assert all(line.startswith(tuple(f"{place}: " for place in places)) for line in lines)


def test_a_definition_wins_over_its_queue_and_the_queue_over_the_engine() -> None:
    @job(name="a", queue="bulk", timeout="30s")
    def told(user: Signed) -> None: ...

    @job
    def left(payload: Report) -> None: ...

    @job(name="c")
    def elsewhere(user: Signed) -> None: ...

    defaults = QueueDefaults(
        retry=Retry(attempts=9, backoff=Fixed("1s")), timeout="1h", expires="2h", unique_for="0s"
    )
    registry = Registry.build(
        definitions(told, left, elsewhere), QUEUES, queue_defaults={"bulk": defaults}
    )
    a, b, c = (registry.by_name(name) for name in ("a", "report", "c"))

    assert a is not None and b is not None and c is not None
    assert (a.timeout_ms, a.expires_ms, a.unique_for_ms) == (30_000, 7_200_000, 0)
    assert (b.timeout_ms, b.retry.attempts, a.retry.attempts) == (3_600_000, 9, 9)
    assert (c.timeout_ms, c.expires_ms, c.unique_for_ms) == (300_000, None, 86_400_000)
    # another registry of the same handlers is not touched
    assert definitions(left)[0].timeout_ms == 300_000


def test_mistakes_in_the_defaults_of_a_queue() -> None:
    lines = mistakes(
        queue_defaults={
            "bulk": QueueDefaults(timeout="0s", retry=Retry(attempts=0)),
            "blk": QueueDefaults(),
        }
    )

    assert len(lines) == 3
    assert "defaults of queue 'bulk': attempts=0" in lines[0]
    assert "defaults of queue 'bulk': timeout='0s'" in lines[1]
    assert "defaults of queue 'blk': unknown queue 'blk'" in lines[2]


def test_a_group_fans_out_to_its_own_queues_and_runs_whatever_arrives_there() -> None:
    @job(name="of_bulk", queue="bulk")
    def of_bulk(user: Signed) -> None: ...

    @job(name="of_critical", queue="critical")
    def of_critical(user: Signed) -> None: ...

    registry = Registry.build(definitions(of_bulk, of_critical), QUEUES).only(["bulk"])
    assert [each.name for each in registry.subscribers("user.signed_up")] == ["of_bulk"]
    assert Registry.build(definitions(of_critical), QUEUES).only(["bulk"]).event_types() == set()
    # `enqueue(..., queue="bulk")` brings what is defined for another queue
    assert registry.by_name("of_critical") is not None
