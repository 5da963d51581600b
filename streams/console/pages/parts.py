"""Parts of pages, which ask for themselves anew: many who look at one ask for it once."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Hashable
from typing import Any, TypeVar

from streams.console.console import Console

T = TypeVar("T")


async def told(
    console: Console, key: Hashable, ask: Callable[[], Coroutine[Any, Any, T]], *, part: bool
) -> T:
    """What a page has to tell: of a part what others were told a moment ago is good enough."""
    return await (console.once(key, ask) if part else ask())
