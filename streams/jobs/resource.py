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
)
from contextlib import AbstractAsyncContextManager
from typing import Any, Generic, TypeAlias, TypeVar, overload

from streams.errors import StreamsError

T = TypeVar("T")

Factory: TypeAlias = Callable[..., Any]


class Wanted(Generic[T]):
    """The default of a handler's parameter, in place of which the worker gives the resource."""

    def __init__(self, factory: Factory) -> None:
        self.factory = factory

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
def Resource(factory: Callable[..., AbstractAsyncContextManager[T]], /) -> T: ...
@overload
def Resource(factory: Callable[..., AsyncIterator[T] | AsyncGenerator[T, Any]], /) -> T: ...
@overload
def Resource(factory: Callable[..., Iterator[T] | Generator[T, Any, Any]], /) -> T: ...
@overload
def Resource(factory: Callable[..., Awaitable[T]], /) -> T: ...
@overload
def Resource(factory: Callable[..., T], /) -> T: ...
def Resource(factory: Factory, /) -> Any:
    """The default of a handler's parameter that a worker fills: a client, a pool, a connection.

    A factory is called once for a worker, before its first job, however many handlers ask for it,
    and what it made is closed when the last job has ended, in reverse order. It is a generator that
    yields the value once, or returns a context manager, an object with `aclose` or `close`, or
    anything else; asynchronous or not. Its own parameters may be resources, too.

    Raises:
        TypeError: it can't be called: give the function itself, not what it returns.
    """
    if not callable(factory):
        raise TypeError(f"Resource(...) takes a function that opens it, not {factory!r}")
    return Wanted(factory)


def wanted_by(function: Callable[..., Any]) -> dict[str, Factory]:
    """The resources that a function asks for, by parameter."""
    return {
        parameter.name: parameter.default.factory
        for parameter in inspect.signature(function).parameters.values()
        if isinstance(parameter.default, Wanted)
    }


def opening_order(factories: Iterable[Factory]) -> list[Factory]:
    """These factories and those that they need, each behind what it needs.

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
        for needed in wanted_by(factory).values():
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
