"""Which contract `streams emit` and `streams enqueue` send, and when it is to start."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

import pytest

import streams.client
from streams import Event, JobPayload, job
from streams.cli import exits, main
from streams.cli.send import _event
from streams.errors import RegistrationError
from streams.jobs.discovery import handlers_among
from streams.jobs.registry import Registry


class AccountDeleted(Event, type="account.deleted", key="account"):
    account: str


class Sync(JobPayload, name="sync", key="account"):
    account: str


@job(cancel_on=AccountDeleted)
async def sync(payload: Sync) -> None: ...


def test_an_event_that_only_cancels_can_be_emitted() -> None:
    registry = Registry.build(handlers_among([sync]), ("default",))
    assert _event(registry, "account.deleted") is AccountDeleted


def test_an_event_that_nobody_knows_names_those_that_are() -> None:
    registry = Registry.build(handlers_among([sync]), ("default",))
    with pytest.raises(RegistrationError, match=r"'user.gone'; .*: account.deleted"):
        _event(registry, "user.gone")
    with pytest.raises(RegistrationError, match=r"'deleted'; did you mean account.deleted\?"):
        _event(registry, "deleted")


HANDLERS = """
from streams import Cron, Tick, job

@job
async def remind(account: int) -> None: ...

@job(name="daily_report", cron=Cron("0 7 * * *"))
async def daily_report(tick: Tick) -> None: ...
"""


class FakeClient:
    """Takes jobs, and sends none."""

    sent: list[dict[str, Any]]  # of the whole class: options of each job

    def __init__(self, *_: Any, **__: Any) -> None: ...

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None: ...

    async def enqueue(self, payload: JobPayload, **options: Any) -> Any:
        self.sent.append(options)
        return type("Handle", (), {"id": "1"})


@pytest.fixture
def client(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> type[FakeClient]:
    """What the command sends with; its handlers are those above."""
    (tmp_path / "sent_from_here.py").write_text(HANDLERS)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("STREAMS_HANDLERS", "sent_from_here")
    monkeypatch.setattr(streams.client, "JobClient", FakeClient)
    FakeClient.sent = []
    return FakeClient


REMIND = "sent_from_here.remind"


def enqueue(*arguments: str) -> int:
    with pytest.raises(SystemExit) as ended:
        main(["enqueue", *arguments])
    return int(ended.value.code or 0)


def test_a_job_starts_at_a_time_that_is_given(client: type[FakeClient]) -> None:
    assert enqueue(REMIND, '{"account": 7}', "--run-at", "2100-01-01T09:00+01:00") == exits.DONE
    (options,) = client.sent
    assert options["run_at"] == datetime(2100, 1, 1, 8, tzinfo=UTC)
    assert options["delay"] is None


@pytest.mark.parametrize(
    ("options", "why"),
    [
        (("--run-at", "2100-01-01T09:00"), "--run-at 2100-01-01T09:00 has no time zone"),
        (("--run-at", "2100-01-01T09:00Z", "--delay", "1h"), "either --delay or --run-at"),
        (("--delay=-1h",), "--delay: -1h is negative"),
        (("--delay", "-1h"), "--delay: -1h is negative"),
        (("--timeout", "soon"), "--timeout: 'soon' is no duration"),
        (("--expires", "soon"), "--expires: 'soon' is no duration"),
    ],
)
def test_what_is_no_time_is_usage_and_names_the_option(
    client: type[FakeClient],
    options: tuple[str, ...],
    why: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert enqueue(REMIND, '{"account": 7}', *options) == exits.USAGE
    assert why in capsys.readouterr().err
    assert client.sent == []


def test_a_short_name_is_answered_with_the_whole_one(
    client: type[FakeClient], capsys: pytest.CaptureFixture[str]
) -> None:
    assert enqueue("remind", '{"account": 7}') == exits.USAGE
    assert f"named 'remind'; did you mean {REMIND}?" in capsys.readouterr().err


def test_a_job_that_takes_a_tick_is_the_clocks(
    client: type[FakeClient], capsys: pytest.CaptureFixture[str]
) -> None:
    assert enqueue("daily_report", "{}") == exits.USAGE
    told = capsys.readouterr().err
    assert "daily_report takes a Tick, which the clock makes" in told
    assert "`streams cron run daily_report` runs it now" in told
    # one that is whole may be sent, as for a day that is past
    whole = '{"schedule": "daily_report", "time": "2026-11-01T07:00Z"}'
    assert enqueue("daily_report", whole) == exits.DONE
    assert len(client.sent) == 1
