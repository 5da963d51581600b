"""Where a handler runs (on the loop, in a thread, in a process), and what contradicts that."""

from __future__ import annotations

import importlib
import inspect
import sys
from collections.abc import Callable
from functools import reduce
from typing import TYPE_CHECKING, Any, Final, Literal

from streams.contracts import Event, JobPayload

if TYPE_CHECKING:
    from streams.jobs.definition import JobDefinition

RunsIn = Literal["loop", "thread", "process"]

_PLACES: Final = ("loop", "thread", "process")
_FINDS: Final = 'runs_in="process": a worker process finds its handler by module and name'


def place_of(fn: Callable[..., Any], stated: str | None, mistakes: list[str]) -> RunsIn:
    """Where a handler runs, as stated or by its kind; contradictions go to `mistakes`."""
    is_coroutine = inspect.iscoroutinefunction(fn)
    match stated:
        case "thread" | "process" if is_coroutine:
            mistakes.append(
                f'runs_in="{stated}": an async def runs on the event loop; make it a def, or leave '
                "runs_in out"
            )
        case "loop" if not is_coroutine:
            mistakes.append(
                'runs_in="loop": a def would block the event loop, and all other jobs with it; '
                "make it an async def, or leave runs_in out, so that it runs in a thread"
            )
        case "process":
            mistakes += _why_not_found(fn)
            return "process"
        case None | "loop" | "thread":
            pass
        case _:
            known = ", ".join(f'"{place}"' for place in _PLACES)
            mistakes.append(f"runs_in={stated!r}: write one of {known}")
    return "loop" if is_coroutine else "thread"


def concurrency_mistakes(
    concurrency: Any,
    cluster_concurrency: Any,
    key_concurrency: Any,
    *,
    is_keyed: bool,
    ordering: str | None,
) -> list[str]:
    """What is wrong with how many may run at a time."""
    options = (
        ("concurrency", concurrency),
        ("cluster_concurrency", cluster_concurrency),
        ("key_concurrency", key_concurrency),
    )
    mistakes = [
        f"{option}={given!r}: write how many may run at a time, from 1"
        for option, given in options
        if given is not None and (type(given) is not int or given < 1)
    ]
    if mistakes:
        return mistakes
    for (less, few), (more, many) in ((options[1], options[0]), (options[1], options[2])):
        if few is not None and many is not None and many > few:
            mistakes.append(f"{more}={many} is more than {less}={few} lets run")
    if key_concurrency is None:
        return mistakes
    if not is_keyed:
        mistakes.append("key_concurrency needs a key: there is nothing that it could be of")
    elif ordering != "none":
        mistakes.append(
            'key_concurrency needs ordering="none": jobs of a key that are in order run one at a '
            "time"
        )
    elif concurrency is not None and concurrency < key_concurrency:
        mistakes.append(
            f"key_concurrency={key_concurrency} is more than concurrency={concurrency} lets run"
        )
    return mistakes


def _why_not_found(fn: Callable[..., Any]) -> list[str]:
    if "<" in fn.__qualname__:
        inside = "is a lambda" if "<lambda>" in fn.__qualname__ else "is made inside a function"
        return [f"{_FINDS}, and this one {inside}; write it as a def of its module"]
    if fn.__module__ == "__main__":
        return [f"{_FINDS}, and this one is in the program itself; move it to a module"]
    return []


def unreachable(definition: JobDefinition) -> list[str]:
    """Why a worker process would not find this handler, once its module is loaded."""
    handler = definition.handler
    module = sys.modules.get(handler.__module__)
    if definition.runs_in != "process" or "<" in handler.__qualname__ or module is None:
        return []
    found = _at(module, handler.__qualname__)
    if getattr(getattr(found, "__job_definition__", None), "name", None) == definition.name:
        return []
    return [
        f"{_FINDS}, and {handler.__module__}.{handler.__qualname__} is something else; give it a "
        "name that nothing else in its module has"
    ]


def definition_at(module: str, qualname: str) -> JobDefinition:
    """The definition of the handler with this module and name; imports the module.

    Raises:
        LookupError: there is no handler of that name.
    """
    found = _at(importlib.import_module(module), qualname)
    definition: JobDefinition | None = getattr(found, "__job_definition__", None)
    if definition is None:
        raise LookupError(f"{module}.{qualname} is no handler")
    return definition


def _at(module: Any, qualname: str) -> Any:
    return reduce(lambda found, name: getattr(found, name, None), qualname.split("."), module)


def cancel_on_mistakes(event: object, kind: type[Event] | type[JobPayload]) -> list[str]:
    """What does not fit in `cancel_on`, a line for each."""
    if not (isinstance(event, type) and issubclass(event, Event)):
        return [f"cancel_on={event!r}: write an event's contract, as in cancel_on=AccountDeleted"]
    mistakes = []
    if event.__key__ is None:
        mistakes.append(
            f"cancel_on={event.__name__}: it has no key that says whose jobs are meant: name one "
            'in its contract (key="...")'
        )
    if kind.__key__ is None:
        mistakes.append(
            f"cancel_on={event.__name__}: {kind.__name__} has no key to be found by: name one in "
            'its contract (key="...")'
        )
    if event is kind:
        mistakes.append(f"cancel_on={event.__name__}: it starts the job, and can't cancel it too")
    return mistakes
