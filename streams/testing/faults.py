"""What can go wrong between a worker and the broker, and where a worker can die."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from streams.errors import AppendFailed
from streams.testing.process import Life, Process
from streams.worker.ports import Append
from streams.worker.tables import COMMANDS_READ

if TYPE_CHECKING:
    from streams.testing.worker import MemoryWorker
    from streams.testing.world import World

DELAYS: Final = (1, 3, 5, 5, 8, 10, 20, 30)
COMMAND_DELAYS: Final = (0, 0, 5, 40, 2_000)
SLOW_MS: Final = 3_000  # less than the margin of a lease
APPENDS: Final = (
    "entries",
    "letters",
    "ledger",
    "tombstones",
    "recovery",
    "fan-out",
    "child",
)
PHASES: Final = ("before", "torn", "after")  # nothing is written, a part, or all of it
BOUNDARIES: Final = (
    *(
        (label, phase)
        for label in APPENDS
        for phase in PHASES
        if (label, phase) != ("child", "torn")
    ),
    ("commit", "before"),
    ("commit", "after"),
    ("drain", "within"),
    ("open", "within"),
)

Coverage = Counter[tuple[str, str]]


class WorkerProcess(Process):
    """The process of one worker."""

    worker: MemoryWorker
    refusals: int = 0  # how many of the next appends are refused
    freezes: bool = False  # at its last step, instead of dying

    def setup(self, worker: MemoryWorker) -> None:
        """The worker that it runs."""
        self.worker = worker
        self.pending: list[Request] = []  # what it waits for
        self.on_the_way = 0


@dataclass(eq=False, slots=True)
class Request:
    """An append on its way."""

    label: str
    records: Sequence[Append]
    answer: asyncio.Future[Sequence[int]]
    fate: str = "after"  # what the broker makes of it
    dies: bool = False  # the worker dies of it
    refused: bool = False
    applied: bool = False


@dataclass(eq=False, slots=True)
class Trap:
    """A worker dies at its n-th append of a kind, in a phase of it."""

    label: str
    phase: str
    left: int


def label_of(records: Sequence[Append]) -> str:
    """Which write of the engine an append is."""
    first = records[0]
    topic = first.topic
    if topic.endswith(".ledger"):
        return "ledger"
    if topic.endswith(".dead"):
        return "letters"
    task = asyncio.current_task()  # slow in Python 3.11
    name = "" if task is None else task.get_name()
    if topic.endswith(".retry"):
        if name.startswith("open-"):
            return "recovery"
        return "tombstones" if first.value is None or first.key == COMMANDS_READ else "entries"
    return "fan-out" if name.startswith("fan-out") else "child"


class FaultyNetwork:
    """Carries appends late, in part, or not at all."""

    def __init__(self, world: World, process: WorkerProcess) -> None:
        self._world = world
        self._process = process
        self._random = world.rng.random
        self._landed = asyncio.Event()

    async def append(self, records: Sequence[Append]) -> Sequence[int]:
        """Carry records to the broker, and its answer back."""
        world, process = self._world, self._process
        answer: asyncio.Future[Sequence[int]] = world.loop.create_future()
        request = Request(label_of(records), records, answer)
        process.pending.append(request)
        if world.traps and (trap := world.sprung(request.label, len(records))) is not None:
            request.fate, request.dies = trap.phase, True
        elif process.refusals:
            process.refusals -= 1
            request.refused = True
            request.fate = ("before", "torn", "after")[int(self._random() * 3)]
        if request.dies and request.fate == "before":
            world.crash(process, f"before {request.label}")
        else:
            delay = self._delay()
            process.on_the_way += 1
            world.clock.call_at(world.clock.now() + delay, lambda: self._apply(request))
        try:
            return await answer
        finally:
            process.pending.remove(request)

    def _delay(self) -> int:
        if self._world.clock.now() < self._world.slow_until:
            return int(self._random() * SLOW_MS)
        return DELAYS[int(self._random() * len(DELAYS))]

    def _apply(self, request: Request) -> None:
        process, world = self._process, self._world
        process.on_the_way -= 1
        self._landed.set()
        records = request.records
        fate = request.fate
        if fate == "torn":
            # Of each partition a prefix; one cut for all is the commonest.
            cut = int(self._random() * (len(records) - 1)) + 1 if len(records) > 1 else 0
            records = [*records[:cut], *self._later(records[cut:])]
        offsets = [] if fate == "before" else [world.log.write(record) for record in records]
        request.applied = True
        if request.dies:
            world.crash(process, f"{fate} {request.label}")
        elif process.state is not Life.DEAD and not request.answer.done():
            if request.refused:
                request.answer.set_exception(AppendFailed("refused by the schedule"))
                request.answer._log_traceback = False
            else:
                request.answer.set_result(offsets)

    def _later(self, records: Sequence[Append]) -> Sequence[Append]:
        """After a cut: of other partitions than the one that was cut, everything may arrive."""
        if len(records) < 2 or self._random() < 0.5:
            return ()
        cut = (records[0].topic, records[0].partition)
        if records[0].partition is None:
            return ()
        return [record for record in records if (record.topic, record.partition) != cut]

    async def flush(self) -> None:
        """Wait until nothing is on its way."""
        while self._process.on_the_way:
            self._landed.clear()
            await self._landed.wait()

    async def round_trip(self) -> None:
        """Ask the coordinator something, and hear its answer."""
        await asyncio.sleep(int(self._random() * 20) / 1000)

    def heartbeat_at(self, when: int) -> int:
        """When a heartbeat that is planned for a time is sent."""
        return when

    def fetch_delay(self) -> int:
        """How long after a record was written it is handed over."""
        return 5 + int(self._random() * 3) * 15

    def command_delay(self) -> int:
        """How long after commands were written they are handed over."""
        rng = self._world.purging_rng
        return 0 if rng is None else rng.choice(COMMAND_DELAYS)

    def batch_size(self) -> int:
        """How many records are handed over at a time."""
        return 1 + int(self._random() * 60)

    def commit_delay(self) -> int:
        """How long after a release it is committed."""
        return 1 + int(self._random() * 500)
