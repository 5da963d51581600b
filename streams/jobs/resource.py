"""`Resource(open_database)`: what a handler is given that lives as long as its worker."""

from __future__ import annotations

import inspect
from collections.abc import (
    AsyncGenerator,
    AsyncIterator,
    Awaitable,
    Callable,
    Generator,
    Iterable,
    Iterator,
    Mapping,
)
from contextlib import AbstractAsyncContextManager
from typing import Any, Generic, TypeAlias, TypeVar, overload

from streams.errors import StreamsError

T = TypeVar("T")

Factory: TypeAlias = Callable[..., Any]


class Wanted(Generic[T]):
    """The default of a handler's parameter, in place of which the worker gives the resource."""

    def __init__(self, factory: Factory, shadow: Factory | None = None) -> None:
        self.factory = factory
        self.shadow = shadow

    def __repr__(self) -> str:
        return f"Resource({name_of(self.factory)})"

    def __getattr__(self, attribute: str) -> Any:
        # Somebody called the handler himself, as a unit test does, and left the parameter out.
        if attribute.startswith("__"):
            raise AttributeError(attribute)
        raise StreamsError(
            f"{self!r} is opened by a worker, and none is here: give the handler a value for it"
        )


@overload
def Resource(
    factory: Callable[..., AbstractAsyncContextManager[T]], /, *, shadow: Factory | None = None
) -> T: ...
@overload
def Resource(
    factory: Callable[..., AsyncIterator[T] | AsyncGenerator[T, Any]],
    /,
    *,
    shadow: Factory | None = None,
) -> T: ...
@overload
def Resource(
    factory: Callable[..., Iterator[T] | Generator[T, Any, Any]],
    /,
    *,
    shadow: Factory | None = None,
) -> T: ...
@overload
def Resource(factory: Callable[..., Awaitable[T]], /, *, shadow: Factory | None = None) -> T: ...
@overload
def Resource(factory: Callable[..., T], /, *, shadow: Factory | None = None) -> T: ...
def Resource(factory: Factory, /, *, shadow: Factory | None = None) -> Any:
    """The default of a handler's parameter that a worker fills: a client, a pool, a connection.

    A factory is called once for a worker, before its first job, however many handlers ask for it,
    and what it made is closed when the last job has ended, in reverse order. It is a generator that
    yields the value once, or returns a context manager, an object with `aclose` or `close`, or
    anything else; asynchronous or not. Its own parameters may be resources, too.

    `shadow` is opened in its place where handlers run to no effect (see `JobContext`): what has the
    same calls, and sends nothing.

    Raises:
        TypeError: it can't be called: give the function itself, not what it returns.
    """
    for given in (factory,) if shadow is None else (factory, shadow):
        if not callable(given):
            raise TypeError(f"Resource(...) takes a function that opens it, not {given!r}")
    return Wanted(factory, shadow)


def wanted_by(function: Callable[..., Any]) -> dict[str, Factory]:
    """The resources that a function asks for, by parameter."""
    return {
        parameter.name: parameter.default.factory
        for parameter in inspect.signature(function).parameters.values()
        if isinstance(parameter.default, Wanted)
    }


def stand_ins(functions: Iterable[Callable[..., Any]]) -> dict[Factory, Factory]:
    """What is opened in shadow in place of what these functions, or what they need, ask for."""
    found: dict[Factory, Factory] = {}
    seen: set[Callable[..., Any]] = set()
    waiting = list(functions)
    while waiting:
        function = waiting.pop()
        if function in seen:
            continue
        seen.add(function)
        try:
            parameters = inspect.signature(function).parameters.values()
        except (TypeError, ValueError):  # of a builtin; it is told at start-up
            continue
        for parameter in parameters:
            if isinstance(wanted := parameter.default, Wanted):
                if wanted.shadow is not None:
                    found[wanted.factory] = wanted.shadow
                waiting.append(wanted.shadow or wanted.factory)
    return found


def opening_order(
    factories: Iterable[Factory], instead: Mapping[Factory, Factory] | None = None
) -> list[Factory]:
    """These factories and those that they need, each behind what it needs.

    `instead` are called in place of some; then what these need counts.

    Raises:
        ValueError: they need each other in a ring; the message names it.
    """
    ordered: list[Factory] = []
    above: list[Factory] = []

    def add(factory: Factory) -> None:
        if factory in ordered:
            return
        if factory in above:
            ring = [*above[above.index(factory) :], factory]
            raise ValueError(
                f"{' needs '.join(map(name_of, ring))}: none of them can be opened first"
            )
        above.append(factory)
        for needed in wanted_by((instead or {}).get(factory, factory)).values():
            add(needed)
        above.pop()
        ordered.append(factory)

    for factory in factories:
        add(factory)
    return ordered


def factory_mistakes(factories: Iterable[Factory]) -> list[str]:
    """Why a worker could not open these."""
    factories = list(factories)
    mistakes = []
    try:
        ordered = opening_order(factories)
    except ValueError as error:
        return [str(error)]
    except TypeError as error:  # a builtin has no signature to look into
        return [f"resource: {error}; write a function that opens it"]
    for factory in ordered:
        for parameter in inspect.signature(factory).parameters.values():
            is_star = parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
            if parameter.default is parameter.empty and not is_star:
                mistakes.append(
                    f"resource {name_of(factory)} needs {parameter.name!r}, and nobody gives it: "
                    "give it a default, as in Resource(...)"
                )
    return mistakes


def name_of(factory: Factory) -> str:
    """What a factory is called in messages."""
    return getattr(factory, "__qualname__", None) or repr(factory)
