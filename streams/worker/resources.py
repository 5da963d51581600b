"""Opens what handlers ask for before the first job, and closes it after the last one."""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import Callable, Iterable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from typing import Any, Final

from streams.errors import ResourceFailed
from streams.jobs.definition import JobDefinition
from streams.jobs.resource import Factory, name_of, opening_order, wanted_by

logger = logging.getLogger(__name__)

OPEN_WITHIN: Final = 60.0  # seconds, each
CLOSE_WITHIN: Final = 10.0


class Resources:
    """The resources of one worker; `replaced` are values that take a factory's place in tests.

    `instead` are factories that are called in the place of others.
    """

    def __init__(
        self,
        definitions: Iterable[JobDefinition] = (),
        replaced: Mapping[Factory, Any] | None = None,
        instead: Mapping[Factory, Factory] | None = None,
    ) -> None:
        self._instead = instead or {}
        self.opened: dict[Factory, Any] = dict(replaced or {})
        wanted = [f for d in definitions for f in d.resources.values() if f not in self.opened]
        self._order = opening_order(wanted, instead)
        self._ready = asyncio.Event()
        self._over = asyncio.Event()
        self._keeping: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """Open all of them, each behind what it needs.

        Raises:
            ResourceFailed: one could not be opened; those before it are closed again.
        """
        if not self._order:
            return
        # Some context managers insist on being left by the task that entered them.
        self._keeping = asyncio.create_task(self._keep(), name="resources")
        opening = asyncio.ensure_future(self._ready.wait())
        await asyncio.wait({opening, self._keeping}, return_when=asyncio.FIRST_COMPLETED)
        if not self._ready.is_set():
            opening.cancel()
            await self._keeping

    async def close(self) -> None:
        """Close them in reverse order; what fails or takes too long is logged."""
        self._over.set()
        if self._keeping is not None:
            await asyncio.gather(self._keeping, return_exceptions=True)

    async def _keep(self) -> None:
        async with AsyncExitStack() as stack:
            for factory in self._order:
                if factory not in self.opened:
                    called = self._instead.get(factory, factory)
                    self.opened[factory] = await self._open(called, stack)
            self._ready.set()
            await self._over.wait()

    async def _open(self, factory: Factory, stack: AsyncExitStack) -> Any:
        needed = {name: self.opened[other] for name, other in wanted_by(factory).items()}
        try:
            async with asyncio.timeout(OPEN_WITHIN):
                return await _enter(factory, needed, stack)
        except Exception as error:
            why = f"it took longer than {OPEN_WITHIN:.0f} s" if _is_late(error) else repr(error)
            raise ResourceFailed(f"resource {name_of(factory)} could not be opened: {why}") from (
                error
            )


async def _enter(factory: Factory, needed: Mapping[str, Any], stack: AsyncExitStack) -> Any:
    made: Any
    if inspect.isasyncgenfunction(factory):
        made = asynccontextmanager(factory)(**needed)
    elif inspect.isgeneratorfunction(factory):
        made = contextmanager(factory)(**needed)
    else:
        made = factory(**needed)
    name = name_of(factory)
    if not hasattr(made, "__aenter__") and inspect.isawaitable(made):
        made = await made
    # A connection of sqlite3's is a context manager too, whose end is that of a transaction: what
    # can be closed is closed.
    if hasattr(made, "__aenter__"):
        value = await made.__aenter__()
        stack.push_async_callback(_close, name, lambda: made.__aexit__(None, None, None))
        return value
    for method in ("aclose", "close"):
        if callable(getattr(made, method, None)):
            stack.push_async_callback(_close, name, getattr(made, method))
            return made
    if hasattr(made, "__enter__"):
        value = made.__enter__()
        stack.push_async_callback(_close, name, lambda: made.__exit__(None, None, None))
        return value
    return made


async def _close(name: str, close: Callable[[], Any]) -> None:
    try:
        async with asyncio.timeout(CLOSE_WITHIN):
            closing = close()
            if inspect.isawaitable(closing):
                await closing
    except Exception as error:  # the others are to be closed, and the worker is to end
        if _is_late(error):
            logger.error("closing resource %s took longer than %.0f s", name, CLOSE_WITHIN)
        else:
            logger.exception("closing resource %s failed", name)


def _is_late(error: Exception) -> bool:
    return isinstance(error, TimeoutError) and not error.args
