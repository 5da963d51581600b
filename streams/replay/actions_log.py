"""What operators do, written down before they do it, and again with what came of it."""

from __future__ import annotations

import asyncio
import getpass
import os
import socket
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from typing import Final

from streams.errors import BrokerUnavailable
from streams.jobs.identity import new_id
from streams.replay.actions_seen import ActionsSeen
from streams.wire.actions import OperatorAction, encode_action
from streams.wire.producer import close_producer, open_producer, send
from streams.wire.reader import partition_count, read_topics

_STOPPED: Final = (KeyboardInterrupt, asyncio.CancelledError)


@asynccontextmanager
async def written_down(
    bootstrap: str, topic: str, *, what: str, on: str, reason: str = ""
) -> AsyncIterator[dict[str, int]]:
    """Write that something begins; then, with the counts that are put into this, that it ended.

    Whoever is killed in between leaves the first record alone.

    Raises:
        BrokerUnavailable: it can't be written: then it does not begin.
        TopicMismatch: there is no such topic.
    """
    await partition_count(bootstrap, topic)
    began = OperatorAction(
        id=new_id(), at=_now(), by=operator(), what=what, on=on or "all", reason=reason
    )
    counts: dict[str, int] = {}
    await _write(bootstrap, topic, began)
    failed = ""
    try:
        yield counts
    except BaseException as error:
        failed = "interrupted" if isinstance(error, _STOPPED) else _why(error)
        raise
    finally:
        ended = replace(began, at=_now(), ended=True, counts=counts, failed=failed)
        with suppress(BrokerUnavailable):
            await _write(bootstrap, topic, ended)


async def read_actions(bootstrap: str, topic: str) -> list[tuple[OperatorAction, int | None]]:
    """All actions, the newest first, each with when it ended (ms since the epoch); None: never.

    Raises:
        BrokerUnavailable: the broker did not answer.
        TopicMismatch: there is no such topic.
    """
    seen = ActionsSeen()
    async for record in read_topics(bootstrap, [topic]):
        seen.take(record.value)
    return seen.latest()


def operator() -> str:
    """Who acts: STREAMS_OPERATOR, else the user of this process and its host."""
    if told := os.environ.get("STREAMS_OPERATOR"):
        return told
    try:
        user = getpass.getuser()
    except (OSError, KeyError):  # a container's user without a name
        user = str(os.getuid())
    return f"{user}@{socket.gethostname()}"


def _why(error: BaseException) -> str:
    """What a command said that ended by itself; else the type: a message may have secrets."""
    return str(getattr(error, "reason", "") or type(error).__name__)


async def _write(bootstrap: str, topic: str, action: OperatorAction) -> None:
    producer = await open_producer(bootstrap, "streams-operator")
    try:
        key, value = encode_action(action)
        await send(producer, topic, key=key, value=value, partition=0)
    finally:
        await close_producer(producer)


def _now() -> int:
    return int(time.time() * 1000)
