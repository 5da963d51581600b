"""Has a client of aiokafka wait before it asks again who the brokers are."""

from __future__ import annotations

import asyncio
from typing import Any, Final

_ASK_AGAIN_S: Final = 0.1


def unhurried(client: Any) -> None:
    """Have it wait after each question for brokers that came to nothing.

    A sender of aiokafka that has something for a partition without a leader asks again at once:
    while all brokers refuse connections, some thousand times a second.
    """
    ask = client._metadata_update

    async def ask_and_wait(*asked: Any) -> bool:
        was_answered: bool = await ask(*asked)
        if not was_answered:
            await asyncio.sleep(_ASK_AGAIN_S)
        return was_answered

    client._metadata_update = ask_and_wait
