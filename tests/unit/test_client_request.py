"""What is refused before anything is sent: options taken for metadata, and what is no contract."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from streams import Cron, Tick, job
from streams.client import JobClient
from streams.client_request import extensions
from streams.contracts import Event, JobPayload
from streams.errors import PayloadInvalid


class SignedUp(Event, type="user.signed_up", key="user_id"):
    user_id: int


class Send(JobPayload, name="reports.send", key="account"):
    account: int


@pytest.fixture
def jobs() -> JobClient:
    """Not open: whatever is refused here is refused without a broker."""
    return JobClient("127.0.0.1:1", source="/tests")


@pytest.mark.parametrize(
    ("option", "said"),
    [
        ("countdown", 'write delay="10s"'),
        ("eta", "write run_at="),
        ("dely", "did you mean delay="),
        ("runAt", "write run_at="),
        ("attemps", "did you mean attempts="),
        ("expire", "did you mean expires="),
        ("priority", 'a queue of their own, as in queue="critical"'),
        ("priorty", 'a queue of their own, as in queue="critical"'),
        ("retry", "write attempts= and backoff="),
        ("max_attempts", "write attempts=3"),
        ("maxRetries", "write attempts=3"),
        ("unique_for", "@job(unique_for=...)"),
        ("key", "the contract names it"),
        ("jobId", 'write id="..."'),
        ("time", "run_at= says when it runs"),
        ("rate_limit", "@job(rate_limit=...)"),
        ("debounce", "@job(debounce=...)"),
        ("throtle", "throttle=? the definition has it"),
        ("unique", "@job(unique=Unique("),
        ("deduplicationId", "@job(unique_for=...)"),
        ("fair_by", "@job(fair_by=...)"),
        ("breaker", "@job(breaker=...)"),
        ("batch", "enqueue_batch"),
        ("middleware", "@job(middleware=...)"),
        ("repeat", "@job(cron=...)"),
    ],
)
async def test_an_option_is_not_taken_for_metadata(jobs: JobClient, option: str, said: str) -> None:
    options: dict[str, Any] = {option: 1}

    with pytest.raises(TypeError) as refused:
        await jobs.enqueue(Send(account=1), **options)

    assert str(refused.value).startswith(f"enqueue({option}=...): ")
    assert said in str(refused.value)


@pytest.mark.parametrize("option", ["delay", "queue", "attempts", "timeout", "countdown", "delays"])
async def test_an_event_takes_no_option_of_a_job(jobs: JobClient, option: str) -> None:
    options: dict[str, Any] = {option: "10m"}

    with pytest.raises(TypeError, match=r"an event is a fact.*for a job, "):
        await jobs.emit(SignedUp(user_id=1), **options)
    with pytest.raises(TypeError, match=r"an event is a fact.*for a job, "):
        await jobs.emit_raw("user.signed_up", {}, **options)


async def test_a_call_without_a_contract_says_where_its_options_go(jobs: JobClient) -> None:
    with pytest.raises(TypeError, match=r"write options=JobOptions\(delay=...\)"):
        await jobs.enqueue_raw("a", "default", {}, delay="1s")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="write attempts=3"):
        await jobs.enqueue_raw("a", "default", {}, retries=3)


def test_metadata_stays_possible() -> None:
    from streams.jobs.option_names import OF_A_JOB, OF_AN_EVENT, refuse_options

    words = ["user_id", "tenant", "uid", "team", "batch_id", "queue_id", "request", "traceparent"]

    refuse_options(words, "enqueue", OF_A_JOB)
    refuse_options(words, "emit", OF_AN_EVENT)
    assert extensions({"user_id": 42, "tenant": "acme", "trial": True}) == {
        "userid": "42",
        "tenant": "acme",
        "trial": "true",
    }


@pytest.mark.parametrize("name", ["tenantId", "größe", "a-b", "x" * 21, "_", "source", "parent"])
def test_a_name_that_is_no_extension_is_refused(name: str) -> None:
    with pytest.raises(PayloadInvalid, match="of up to 20 letters a-z") as refused:
        extensions({name: 1})

    assert refused.value.field == name


async def test_what_is_no_contract_is_refused_with_the_right_call(jobs: JobClient) -> None:
    anything: Any = jobs
    with pytest.raises(TypeError, match=r"Send asks for a job: use enqueue"):
        await anything.emit(Send(account=1))
    with pytest.raises(TypeError, match=r"SignedUp is an event: use emit"):
        await anything.enqueue(SignedUp(user_id=1))
    with pytest.raises(TypeError, match=r"not dict: declare one, or use enqueue_raw"):
        await anything.enqueue({"account": 1})
    with pytest.raises(TypeError, match=r"not dict: declare one, or use emit_raw"):
        await anything.emit({"user_id": 1})
    with pytest.raises(TypeError, match=r"takes an instance: Send\(...\), not the class"):
        await anything.enqueue(Send)
    with pytest.raises(TypeError, match=r"SignedUp is an event: use emit"):
        await anything.enqueue_many([SignedUp(user_id=1)])


@job(name="daily_report", cron=Cron("0 7 * * *"))
async def daily_report(tick: Tick) -> None: ...


async def test_a_tick_is_the_clocks(jobs: JobClient) -> None:
    with pytest.raises(PayloadInvalid, match="`streams cron run NAME` runs a schedule now"):
        await jobs.enqueue(Tick(schedule="daily_report", time=datetime(2026, 1, 1, tzinfo=UTC)))
    with pytest.raises(TypeError, match="`streams cron run NAME` runs a schedule now"):
        await jobs.enqueue(Tick)  # type: ignore[arg-type]
    with pytest.raises(PayloadInvalid, match="`streams cron run daily_report` runs it now"):
        daily_report.payload()
