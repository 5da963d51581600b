"""What people do, on record: that it begins before it is done, and then that it has ended."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from streams.client_request import now_ms
from streams.errors import StreamsError
from streams.jobs.identity import new_id
from streams.wire.actions import OperatorAction, encode_action

if TYPE_CHECKING:
    from streams.console.console import Console

END_S: Final = 8.0
"""For how long the end of an action is waited for until it is written."""

_AGAIN_S: Final = 10.0
_LATER_MAX: Final = 200
_TEXT_MAX: Final = 1_000


@asynccontextmanager
async def on_record(
    console: Console, who: str, what: str, on: str, reason: str = "", *, id: str | None = None
) -> AsyncIterator[dict[str, int]]:
    """Write that something begins; then, with the counts that are put into this, that it ended.

    Raises:
        BrokerUnavailable: it can't be written: then it does not begin.
    """
    began = OperatorAction(
        id=id or new_id(),
        at=now_ms(),
        by=who,
        what=what,
        on=on[:_TEXT_MAX] or "all",
        reason=reason[:_TEXT_MAX],
    )
    counts: dict[str, int] = {}
    await _keep(console, began)
    failed = ""
    try:
        yield counts
    except BaseException as error:
        failed = type(error).__name__ if isinstance(error, Exception) else "interrupted"
        raise
    finally:
        await console.ends.keep(
            replace(began, at=now_ms(), ended=True, counts=counts, failed=failed)
        )


class Ends:
    """Writes that actions have ended: if Kafka is away, as soon as it is back."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._later: set[asyncio.Task[None]] = set()

    async def keep(self, end: OperatorAction) -> None:
        """Write one now, or later if that takes too long."""
        try:
            async with asyncio.timeout(END_S):
                await _keep(self._console, end)
        except (StreamsError, TimeoutError):
            if len(self._later) < _LATER_MAX:
                writing = asyncio.create_task(self._keep_later(end))
                self._later.add(writing)
                writing.add_done_callback(self._later.discard)

    async def close(self) -> None:
        """Leave what could not be written."""
        for writing in tuple(self._later):
            writing.cancel()
        if self._later:
            await asyncio.wait(self._later)

    async def _keep_later(self, end: OperatorAction) -> None:
        while True:
            await asyncio.sleep(_AGAIN_S)
            with suppress(StreamsError):
                await _keep(self._console, end)
                return


async def _keep(console: Console, action: OperatorAction) -> None:
    key, value = encode_action(action)
    await console.client.delivery.append(
        console.names.actions, key=key, value=value, partition=0, job_id=None
    )
    console.feed.board.actions.note(action)  # whoever acts sees at once that it is on record
