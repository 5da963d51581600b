"""What a line of the log holds, and who may write one."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest
import structlog
from mode.utils.logging import redirect_stdouts

from streams.jobs.lifecycle import Happening, LifecycleEvent
from streams.jobs.outcome import failure_of
from streams.observe.logs import configure, log_lifecycle, trace_id

LIBRARIES = ("faust", "mode", "aiokafka", "asyncio")
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"


@pytest.fixture(autouse=True)
def _logging_as_it_was() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    levels = {name: logging.getLogger(name).level for name in LIBRARIES}
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    for name, before in levels.items():
        logging.getLogger(name).setLevel(before)
    structlog.reset_defaults()


def event(happening: Happening, **more: Any) -> LifecycleEvent:
    fields: dict[str, Any] = {"queue": "default", "name": "mail", "id": "job-1", "key": "a@b.c"}
    return LifecycleEvent(happening=happening, at=1, **(fields | more))


def lines(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in capsys.readouterr().err.splitlines()]


@pytest.mark.parametrize(
    ("happening", "level"),
    [
        (Happening.STARTED, "debug"),
        (Happening.PARKED, "debug"),
        (Happening.SCHEDULED, "debug"),
        (Happening.DUPLICATE, "debug"),
        (Happening.COMPLETED, "info"),
        (Happening.SLEEPING, "info"),
        (Happening.DISCARDED, "info"),
        (Happening.CANCELLED, "info"),
        (Happening.REPLAYED, "info"),
        (Happening.EXPIRED, "warning"),
        (Happening.RETRYING, "warning"),
        (Happening.DEAD, "error"),
        (Happening.UNDECODABLE, "error"),
    ],
)
def test_every_happening_has_its_level(
    happening: Happening, level: str, capsys: pytest.CaptureFixture[str]
) -> None:
    configure("json", "DEBUG")

    log_lifecycle(event(happening))

    (line,) = lines(capsys)
    assert (line["event"], line["level"]) == (happening.value, level)


def test_debug_is_silent_unless_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    configure("json")

    log_lifecycle(event(Happening.STARTED))

    assert capsys.readouterr().err == ""


def test_a_retry_tells_attempt_error_and_next_time(capsys: pytest.CaptureFixture[str]) -> None:
    configure("json")

    log_lifecycle(
        event(
            Happening.RETRYING,
            attempt=2,
            ran_ms=35,
            due=1_700_000_000_123,
            error_type="SMTPError",
            error="451 later\nplease",
            traceparent=f"00-{TRACE}-00f067aa0ba902b7-01",
        )
    )

    (line,) = lines(capsys)
    assert line.pop("timestamp").endswith("Z")
    assert line == {
        "event": "retrying",
        "level": "warning",
        "logger": "streams.jobs",
        "job_id": "job-1",
        "job_name": "mail",
        "queue": "default",
        "attempt": 2,
        "outcome": "retrying",
        "duration_ms": 35,
        "due": "2023-11-14T22:13:20.123Z",
        "error_type": "SMTPError",
        "error": "451 later\nplease",
        "trace_id": TRACE,
    }


@pytest.mark.parametrize("happening", [Happening.RETRYING, Happening.DEAD])
@pytest.mark.parametrize("form", ["json", "console"])
def test_a_failed_attempt_shows_where_it_failed(
    form: Any, happening: Happening, capsys: pytest.CaptureFixture[str]
) -> None:
    configure(form)

    log_lifecycle(event(happening, error_type="ValueError", trace=failed_trace()))

    written = capsys.readouterr().err
    assert "in deliver" in written
    assert "ValueError: no such mailbox" in written
    assert "hunter2" not in written  # a local variable


def test_of_a_long_trace_the_end_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    configure("json")

    log_lifecycle(event(Happening.DEAD, trace="x" * 10_000 + "the end"))

    (line,) = lines(capsys)
    assert line["exception"].endswith("the end")
    assert len(line["exception"]) == 4_000


def failed_trace() -> str:
    def deliver(password: str) -> None:
        raise ValueError("no such mailbox")

    try:
        deliver("hun" + "ter2")
    except ValueError as error:
        return failure_of(error).trace
    raise AssertionError


def test_the_libraries_go_through_the_same_formatter_from_warning_on(
    capsys: pytest.CaptureFixture[str],
) -> None:
    configure("json")

    for name in ("faust.app", "mode.worker", "aiokafka.consumer"):
        logging.getLogger(name).info("rebalancing")
        logging.getLogger(name).warning("lost %s", "it")

    assert [(line["logger"], line["event"]) for line in lines(capsys)] == [
        ("faust.app", "lost it"),
        ("mode.worker", "lost it"),
        ("aiokafka.consumer", "lost it"),
    ]


def test_a_second_call_writes_no_line_twice(capsys: pytest.CaptureFixture[str]) -> None:
    configure("console")
    log_lifecycle(event(Happening.COMPLETED))
    capsys.readouterr()

    configure("json")
    log_lifecycle(event(Happening.COMPLETED))

    assert len(lines(capsys)) == 1


@pytest.mark.parametrize("form", ["json", "console"])
def test_a_traceback_shows_no_local_variables(
    form: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    configure(form)
    payload = {"password": "hun" + "ter2"}

    try:
        raise ValueError(f"{len(payload)} field is wrong")
    except ValueError:
        logging.getLogger("streams.worker").exception("settling failed")

    written = capsys.readouterr().err
    assert "ValueError: 1 field is wrong" in written
    assert "hunter2" not in written


def test_lines_survive_mode_taking_over_standard_error(
    capfd: pytest.CaptureFixture[str],
) -> None:
    with redirect_stdouts(severity="INFO"):
        configure("json")
        log_lifecycle(event(Happening.COMPLETED))

    assert '"event": "completed"' in capfd.readouterr().err


@pytest.mark.parametrize(
    ("traceparent", "expected"),
    [
        (f"00-{TRACE}-00f067aa0ba902b7-01", TRACE),
        (None, None),
        ("", None),
        ("garbage", None),
        ("00-short-00f067aa0ba902b7-01", None),
    ],
)
def test_the_trace_id(traceparent: str | None, expected: str | None) -> None:
    assert trace_id(traceparent) == expected
