"""Answers that many want at about the same moment, each asked for once."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Hashable
from typing import Any, Final, TypeVar

T = TypeVar("T")

KEPT_S: Final = 1.5  # less than the time between two ticks of a page: each brings a new answer
_TIMES: Final = 4
_KEPT_MAX_S: Final = 10.0


class Shared:
    """Keeps each answer for a moment; one that took long, for some times as long."""

    def __init__(self, kept_s: float = KEPT_S) -> None:
        self._kept_s = kept_s
        self._asked: dict[Hashable, asyncio.Task[Any]] = {}

    async def once(self, key: Hashable, ask: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """What `ask` answers, or has answered to somebody else a moment ago."""
        asking: asyncio.Task[T] | None = self._asked.get(key)
        if asking is None:
            began = asyncio.get_running_loop().time()
            asking = self._asked[key] = asyncio.create_task(ask())
            asking.add_done_callback(lambda done: self._keep(key, done, began))
        return await asyncio.shield(asking)

    def _keep(self, key: Hashable, done: asyncio.Task[Any], began: float) -> None:
        loop = asyncio.get_running_loop()
        took = loop.time() - began
        if done.cancelled() or done.exception() is not None:
            self._asked.pop(key, None)  # whoever comes next may be luckier
        else:
            kept = min(max(self._kept_s - took, _TIMES * took), _KEPT_MAX_S)
            loop.call_later(kept, self._asked.pop, key, None)
