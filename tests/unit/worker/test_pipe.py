"""What crosses between a worker and its processes."""

from __future__ import annotations

import asyncio
import socket

import pytest

from streams.jobs.outcome import (
    Cancelled,
    Completed,
    Dead,
    Discarded,
    Failure,
    Outcome,
    Retrying,
    Snoozed,
)
from streams.worker.pipe import Pipe, pack, read_outcome, receive, tell_outcome
from streams.worker.ports import Append

FAILURE = Failure(type="ValueError", message="no \u2713", trace="Traceback ...")


@pytest.mark.parametrize(
    "outcome",
    [
        Completed(None),
        Completed(b'{"a":1}'),
        Retrying(250, FAILURE),
        Snoozed(3_600_000, True),
        Discarded("why"),
        Dead(FAILURE),
        Dead(FAILURE, is_permanent=True),
    ],
)
def test_an_outcome_is_the_same_on_the_other_side(outcome: Outcome) -> None:
    assert read_outcome(*tell_outcome(outcome)) == outcome


def test_what_is_no_outcome_of_a_handler_is_refused() -> None:
    with pytest.raises(ValueError, match="does not end with"):
        tell_outcome(Cancelled("why"))
    with pytest.raises(ValueError, match="nobody knows: 'lost'"):
        read_outcome({"outcome": "lost"}, b"")


async def test_messages_arrive_whole_and_the_end_is_noticed() -> None:
    ours, theirs = socket.socketpair()
    pipe = Pipe(theirs)
    reader, writer = await asyncio.open_unix_connection(sock=ours)
    large = b"x" * 1_000_000

    sending = asyncio.create_task(asyncio.to_thread(pipe.say, {"say": "over"}, large))
    assert await receive(reader) == ({"say": "over"}, large)
    await sending
    writer.write(pack({"say": "run"}, b"") + pack({"say": "end"}))
    assert await asyncio.to_thread(pipe.hear) == ({"say": "run"}, b"")
    assert await asyncio.to_thread(pipe.hear) == ({"say": "end"}, b"")
    writer.close()
    with pytest.raises(EOFError):
        await asyncio.to_thread(pipe.hear)
    theirs.close()


async def test_a_thread_that_a_job_left_behind_asks_for_nobody() -> None:
    ours, theirs = socket.socketpair()
    pipe = Pipe(theirs)
    reader, writer = await asyncio.open_unix_connection(sock=ours)
    asked = Append("t", 0, b"k", b"v")

    pipe.begin()
    asking = asyncio.create_task(asyncio.to_thread(asyncio.run, pipe.append([asked])))
    assert (await receive(reader))[0]["say"] == "append"
    writer.write(pack({"say": "appended", "offsets": [7]}))
    assert await asking == [7]
    pipe.end()
    # Its job is over: what it would be answered is for the next one.
    with pytest.raises(asyncio.CancelledError):
        await pipe.append([asked])
    writer.close()
    theirs.close()
