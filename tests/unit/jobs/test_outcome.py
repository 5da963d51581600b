"""An error in short: its trace is what the standard library says of it."""

from __future__ import annotations

import traceback
import types
from collections.abc import Callable

import pytest

from streams.jobs.outcome import TRACE_KEPT, failure_of, trace_of


def plain() -> None:
    raise ValueError("plain")


def nested() -> None:
    numbers = {"é": [1]}
    return next(plain() for _ in numbers["é"])


def caused() -> None:
    try:
        plain()
    except ValueError as error:
        raise RuntimeError("caused") from error


def in_another() -> None:
    try:
        plain()
    except ValueError:
        raise RuntimeError("in another")  # noqa: B904


def instead() -> None:
    try:
        plain()
    except ValueError:
        raise RuntimeError("instead") from None


def noted() -> None:
    error = KeyError("noted")
    error.add_note("look here")
    raise error


def grouped() -> None:
    raise ExceptionGroup("several", [ValueError("one"), ValueError("two")])


def no_syntax() -> None:
    compile("a b", "nowhere.py", "exec")


def endless(depth: int = 0) -> None:
    if depth == 200:
        raise ValueError("deep")
    endless(depth + 1)


def on_one_line() -> None:
    (lambda: plain())() if True else ({}["ü"] + 1 / 0)


CASES = [
    plain,
    nested,
    caused,
    in_another,
    instead,
    noted,
    grouped,
    no_syntax,
    endless,
    on_one_line,
]


@pytest.mark.parametrize("fail", CASES)
def test_a_trace_is_what_the_standard_library_says(fail: Callable[[], None]) -> None:
    for _ in range(3):  # the first time, and from what is remembered
        with pytest.raises(Exception) as caught:
            fail()
        expected = "".join(traceback.format_exception(caught.value))
        assert trace_of(caught.value) == expected
        assert failure_of(caught.value).trace == expected[-TRACE_KEPT:]


def test_an_error_that_was_never_raised_has_no_frames() -> None:
    error = ValueError("told, not raised")
    assert trace_of(error) == "".join(traceback.format_exception(error))


def test_equal_code_of_two_files_is_told_apart() -> None:
    source = "def handler():\n    raise ValueError('no')\n"
    for file in ("billing.py", "shipping.py"):
        space: dict[str, Callable[[], None]] = {}
        exec(compile(source, file, "exec"), space)
        with pytest.raises(ValueError) as caught:
            space["handler"]()
        assert f'File "{file}", line 2' in trace_of(caught.value)


def test_a_trace_that_somebody_made_by_hand_does_not_hide_the_error() -> None:
    with pytest.raises(ValueError) as caught:
        plain()
    trace = caught.value.__traceback__
    assert trace is not None
    made = types.TracebackType(None, trace.tb_frame, -1, trace.tb_lineno)
    assert "ValueError: plain" in trace_of(caught.value.with_traceback(made))
