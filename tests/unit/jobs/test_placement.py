"""Where a handler runs, and the contradictions that are told when a worker starts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from streams import Resource
from streams.contracts import JobPayload
from streams.errors import RegistrationError
from streams.jobs.decorator import job
from streams.jobs.definition import JobDefinition
from streams.jobs.placement import definition_at
from streams.jobs.registry import Registry


class Render(JobPayload, name="render"):
    page: int


@job(runs_in="process")
def render(payload: Render) -> None: ...


@job(name="replaced", runs_in="process")
def replaced(n: int) -> None: ...


hidden, replaced = replaced, None  # type: ignore[assignment]

by_lambda = job(runs_in="process")(lambda: None)


def definition(handler: Callable[..., Any]) -> JobDefinition:
    found = handler.__job_definition__  # type: ignore[attr-defined]
    assert isinstance(found, JobDefinition)
    return found


def mistakes(handler: Callable[..., Any]) -> str:
    return "\n".join(definition(handler).mistakes)


def test_a_handler_runs_where_it_says_else_by_its_kind() -> None:
    @job
    async def coroutine(n: int) -> None: ...

    @job
    def function(n: int) -> None: ...

    @job(runs_in="thread")
    def told(n: int) -> None: ...

    assert [definition(each).runs_in for each in (coroutine, function, told, render)] == [
        "loop",
        "thread",
        "thread",
        "process",
    ]
    assert not mistakes(told) and not mistakes(render)


@pytest.mark.parametrize("place", ["thread", "process"])
def test_a_coroutine_runs_on_the_loop_alone(place: Any) -> None:
    @job(runs_in=place)
    async def wrong(n: int) -> None: ...

    assert mistakes(wrong) == (
        f'runs_in="{place}": an async def runs on the event loop; make it a def, or leave runs_in '
        "out"
    )


def test_a_function_does_not_run_on_the_loop() -> None:
    @job(runs_in="loop")
    def wrong(n: int) -> None: ...

    assert "make it an async def, or leave runs_in out" in mistakes(wrong)


def test_a_place_that_is_none_is_named() -> None:
    @job(runs_in="subprocess")  # type: ignore[call-overload]
    def wrong(n: int) -> None: ...

    assert mistakes(wrong) == ('runs_in=\'subprocess\': write one of "loop", "thread", "process"')


def test_what_a_process_could_not_import_is_told() -> None:
    @job(runs_in="process")
    def inner(n: int) -> None: ...

    def program(n: int) -> None: ...

    program.__module__, program.__qualname__ = "__main__", "program"

    assert "this one is made inside a function; write it as a def of its module" in mistakes(inner)
    assert "this one is a lambda" in mistakes(by_lambda)
    assert "move it to a module" in mistakes(job(runs_in="process")(program))


def test_a_name_that_is_something_else_by_now_is_told_when_all_are_checked() -> None:
    with pytest.raises(RegistrationError, match=r"replaced is something else; give it a name"):
        Registry.build([definition(hidden)], ("default",))


def test_all_contradictions_are_told_at_once_with_file_and_line() -> None:
    @job(runs_in="process", timeout="0s")
    async def wrong(n: int) -> None: ...

    with pytest.raises(RegistrationError) as told:
        Registry.build([definition(wrong), definition(by_lambda)], ("default",))

    lines = str(told.value).splitlines()
    assert len(lines) == 3
    assert all(line.startswith(f"{__file__}:") for line in lines)
    assert "no attempt is without an end: write how long one may take" in str(told.value)


def test_no_timeout_is_the_default_one() -> None:
    @job(timeout=None)
    def left_open(n: int) -> None: ...

    assert definition(left_open).timeout_ms == 300_000


def test_a_process_finds_its_handler_by_module_and_name() -> None:
    assert definition_at(__name__, "render") is definition(render)
    with pytest.raises(LookupError, match="is no handler"):
        definition_at(__name__, "definition")


def _opened() -> str:
    return "here"


def test_a_process_has_no_resources_of_its_worker() -> None:
    @job(runs_in="process")
    def far_away(n: int, it: str = Resource(_opened)) -> None: ...

    mistakes = far_away.__job_definition__.mistakes  # type: ignore[attr-defined]
    assert any("'it' is a resource of the worker, which another process" in m for m in mistakes)
