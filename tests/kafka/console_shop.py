"""A worker and a console for the tests of one file: topics, both processes, and a client."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from console_process import ConsoleProcess
from topics import create_topics
from worker_process import WorkerProcess

HANDLERS = "console_handlers"


@dataclass(frozen=True, slots=True, kw_only=True)
class Shop:
    """What is there; failing handlers succeed once `mended` is."""

    kafka: str
    prefix: str
    console: ConsoleProcess
    worker: WorkerProcess
    mended: Path


@contextmanager
def open_shop(kafka: str, folder: Path, **variables: str) -> Iterator[Shop]:
    """A shop with a prefix of its own; `variables` are the console's."""
    prefix = f"t{uuid.uuid4().hex[:10]}."
    asyncio.run(create_topics(kafka, prefix, events=("user.signed_up", "foreign.event")))
    mended = folder / "mended"
    with (
        WorkerProcess(kafka, prefix, HANDLERS, folder / "w", MENDED=str(mended)) as worker,
        ConsoleProcess(kafka, prefix, HANDLERS, folder / "c", **variables) as console,
    ):
        yield Shop(kafka=kafka, prefix=prefix, console=console, worker=worker, mended=mended)
