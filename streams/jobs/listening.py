"""`@on("completed", ...)`: a function that hears what happens to jobs on its worker."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from streams.jobs.lifecycle import Happening, LifecycleEvent
from streams.jobs.option_names import closest

F = TypeVar("F", bound=Callable[[LifecycleEvent], Any])

_WORDS: Final = {**{each.value: each for each in Happening}, "failed": Happening.DEAD}


@dataclass(frozen=True, slots=True, kw_only=True)
class ListenerDefinition:
    """What a function wants to hear."""

    happenings: frozenset[Happening]
    function: Callable[[LifecycleEvent], Any]
    is_async: bool

    @property
    def name(self) -> str:
        """What it is called in messages."""
        return f"{self.function.__module__}.{self.function.__qualname__}"


def on(*happenings: str) -> Callable[[F], F]:
    """Make a function hear what happens to the jobs of its worker; it stays a function.

    It is given a `LifecycleEvent`, once for each thing of these kinds: `started`, `completed`,
    `retrying`, `failed` (given up; also `dead`), `discarded`, `cancelled`, `expired`, `scheduled`,
    `parked`, `sleeping`, `replayed`, `duplicate`, `undecodable`; `checkpointed`; `progress`, once
    a second for a job that tells it. All but `started` and `progress` are told when they are
    durable. A `def` is called at once, on the event loop: it must be quick. An `async def` is
    called for one event after the other; what it can't keep up with is dropped, counted in the log.
    What it raises is logged.

    Raises:
        TypeError: there is no such thing to hear, or what is decorated is no function.
    """
    if not happenings or not all(isinstance(word, str) for word in happenings):
        raise TypeError('say what to hear, as in @on("completed", "failed")')
    for word in happenings:
        if word not in _WORDS:
            near = closest(word, tuple(_WORDS))
            hint = f"did you mean {near!r}?" if near else f"there are {', '.join(_WORDS)}"
            raise TypeError(f"@on({word!r}): nothing of that name happens to a job; {hint}")
    wanted = frozenset(_WORDS[word] for word in happenings)

    def decorate(function: F) -> F:
        if not inspect.isfunction(function):
            raise TypeError(f"@on decorates functions, not {function!r}")
        function.__job_listener__ = ListenerDefinition(  # type: ignore[attr-defined]
            happenings=wanted,
            function=function,
            is_async=inspect.iscoroutinefunction(function),
        )
        return function

    return decorate


def listeners_among(values: Iterable[Any]) -> list[ListenerDefinition]:
    """The listeners among the values of modules, each once."""
    found: dict[int, ListenerDefinition] = {}
    for value in values:
        definition = getattr(value, "__job_listener__", None)
        if isinstance(definition, ListenerDefinition):
            found[id(definition)] = definition
    return list(found.values())
