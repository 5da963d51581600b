"""A worker that tells a test what its event topic brings, over a socket, and does what it asks."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Sequence
from typing import Any

from streams import Event, job
from streams.wire.envelope import Record
from streams.worker.engine import Engine
from streams.worker.ports import Source


class Probed(Event, type="probed"):
    pass


@job
async def take(event: Probed) -> None:
    raise AssertionError("the probes stand in the place of the fan-out")


class Probe:
    """In the place of the fan-out of one partition."""

    watermark = position = 0  # it knows of no commit but the group's

    def __init__(self, partition: int, source: Source) -> None:
        self.source = source
        self.held = False
        self.asked = asyncio.Event()
        self._partition = partition

    @property
    def wants_more(self) -> bool:
        self.asked.set()
        return not self.held

    def skip_to(self, position: int) -> None:
        self.position = position

    def deliver(self, records: Sequence[Record]) -> None:
        self.position = records[-1].offset + 1
        _say(partition=self._partition, offsets=[record.offset for record in records])


_probes: dict[int, Probe] = {}
_lines: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
_tasks: list[asyncio.Task[None]] = []


async def _open_events(engine: Engine, event_type: str, partition: int, source: Source) -> Probe:
    _probes[partition] = Probe(partition, source)
    if not _tasks:
        _tasks.append(asyncio.create_task(_talk()))
    _say(opened=partition)
    return _probes[partition]


def _say(**said: Any) -> None:
    _lines.put_nowait(said)


async def _talk() -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", int(os.environ["PROBE"]))
    _tasks.append(asyncio.create_task(_speak(writer)))
    while line := await reader.readline():
        await _obey(**json.loads(line))
        _say(obeyed=True)


async def _speak(writer: asyncio.StreamWriter) -> None:
    while True:
        writer.write(json.dumps(await _lines.get()).encode() + b"\n")


async def _obey(command: str, partition: int, value: int) -> None:
    probe = _probes[partition]
    if command == "release":
        probe.source.release(value)
    elif command == "hold":
        probe.held = bool(value)
        # It may be in the middle of a fetch for this partition: the next question is after it.
        probe.asked.clear()
        await probe.asked.wait()
    else:
        from streams.app import app  # the one that runs us

        for _ in range(2):  # the first may only wait for one that is on its way
            await app.consumer.commit()


Engine.open_events = _open_events  # type: ignore[assignment, method-assign]
