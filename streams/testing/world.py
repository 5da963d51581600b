"""The world of a simulated schedule: processes that die, freeze and return."""

from __future__ import annotations

import random
from collections.abc import Callable

from streams.errors import AppendFailed, LeaseLost
from streams.jobs.context import JobContext
from streams.testing.cluster import MemoryCluster
from streams.testing.coordinator import Partition
from streams.testing.faults import PHASES, Coverage, FaultyNetwork, Trap, WorkerProcess
from streams.testing.loop import VirtualLoop
from streams.testing.memory import MemoryAlarm
from streams.testing.oracle import Oracle
from streams.testing.process import PROCESS, Life
from streams.testing.purging import has_purges
from streams.testing.rescheduling import has_rescheduling
from streams.testing.watched import Epoch
from streams.testing.worker import MemoryWorker
from streams.testing.workload import QUEUE, REGISTRY, Work
from streams.wire.envelope import Record
from streams.worker.pipeline import GATHER_MS
from streams.worker.tables import COMMITTED

PARTITIONS = 2
UNWINDING_MS = (0, 0, 0, 30, 3_000)


class World(MemoryCluster):
    """A cluster on which everything that can happen does."""

    def __init__(self, seed: int, *, tracing: bool = False) -> None:
        super().__init__(REGISTRY, partitions=PARTITIONS)
        self.rng = random.Random(seed)
        self.gather_ms = GATHER_MS if seed % 2 else 0
        self.batches = bool(seed // 4 % 2)  # children have a callback
        self.parts = 3 if seed // 2 % 2 else 0  # of some jobs, with a checkpoint after each
        self.purging_rng = random.Random(f"purges {seed}") if has_purges(seed) else None
        self.rescheduling_rng = (
            random.Random(f"reschedules {seed}") if has_rescheduling(seed) else None
        )
        self.loop = VirtualLoop(self.clock)  # type: ignore[abstract]  # what it needs is there
        self.oracle = Oracle()
        self.coverage: Coverage = Coverage()
        self.processes: list[WorkerProcess] = []
        self.traps: list[Trap] = []
        self._process_of: dict[MemoryWorker, WorkerProcess] = {}
        self.slow_until = 0
        self.began = self.clock.now()
        self.crashes = 0
        self.calm = False  # the schedule's faults are over
        self.trace: list[str] | None = [] if tracing else None
        self.coordinator.rng = self.rng
        self.coordinator.on_commit = self.oracle.committed
        self.coordinator.on_generation = self._on_generation
        self.log.on_append = self._on_append
        self._on_record = self._listeners()

    def note(self, text: str) -> None:
        """A line of the trace."""
        if self.trace is not None:
            self.trace.append(f"{(self.clock.now() - self.began) / 1000:9.3f}  {text}")

    # -- processes -----------------------------------------------------------------------------

    def at(self, worker: MemoryWorker, when: int, callback: Callable[[], None]) -> MemoryAlarm:
        """Call something of a worker at a time of the world, if it can be called then."""
        process = self._process_of[worker]
        return self.clock.call_at(when, lambda: process.call(callback))

    def start(self, name: str, skew: int = 0) -> WorkerProcess:
        """Start a worker."""
        process = WorkerProcess(name, self.loop, self.clock, skew)
        worker = process.context.run(
            MemoryWorker,
            self,
            name,
            network=FaultyNetwork(self, process),
            clock=process.clock,
            spawn=process.spawn,
        )
        process.setup(worker)
        process.on_last_step = lambda: self._last_step(process)
        worker.on_open = lambda place: self._opened(process, place)
        worker.on_close = lambda place: self._closed(process, place)
        worker.on_drain = lambda: self._may_die(process, "drain")
        worker.on_expelled = lambda: self.oracle.expelled(process)
        worker.may_commit = lambda: self._committing(process)
        worker.on_failure = lambda error: self._gave_up(process, error)
        self.processes.append(process)
        self._process_of[worker] = process
        self.note(f"{name} starts")
        worker.start()
        return process

    @property
    def running(self) -> list[WorkerProcess]:
        """The processes that run."""
        return [process for process in self.processes if process.state is Life.RUNNING]

    def crash(self, process: WorkerProcess, where: str) -> None:
        """Kill a process; what it had sent may still arrive, in part or not at all."""
        if process.state is Life.DEAD:
            return
        process.end()
        self.oracle.died(process)
        self.crashes += 1
        self.note(f"{process.name} dies {where}")
        for request in process.pending:
            if not request.dies and not request.applied:
                request.fate = self.rng.choice(("before", "torn", "after"))
            if request.fate == "torn" and len(request.records) < 2:
                request.fate = "before"
            self.coverage[(request.label, request.fate)] += 1
            if request.label in ("ledger", "tombstones") and self.rng.random() < 0.8:
                # What this leaves is cleaned up by a recovery, which can die of it as well.
                self.traps.append(Trap("recovery", self.rng.choice((*PHASES, "torn")), 1))
        if process.worker.is_opening:
            self.coverage[("open", "within")] += 1
        for what in process.worker.waits_in:
            self.coverage[(what, "before" if what == "commit" else "within")] += 1
        sent = process.worker.membership.lease.pause()
        self.coordinator.silent_since(process.worker.membership.member, sent)
        delay = self.rng.randint(100, 15_000)
        keeps_name = self.rng.random() < 0.7
        self.clock.call_at(self.clock.now() + delay, lambda: self._restart(process, keeps_name))

    def _restart(self, process: WorkerProcess, keeps_name: bool) -> None:
        self.processes.remove(process)
        if self.rng.random() < 0.3:
            self.note(f"the disk of {process.name} is lost")
            self.lose_disks(process.name)
        name = process.name if keeps_name else f"{process.name}'"
        self.start(name, self.rng.randint(-1_000, 1_000))

    def _gave_up(self, process: WorkerProcess, error: BaseException) -> None:
        self.note(f"{process.name} gives up: {error!r}")
        if not isinstance(error, LeaseLost | AppendFailed):
            self.oracle.fault("engine", f"{type(error).__name__}: {error}")
        self.crash(process, "of that")

    def _last_step(self, process: WorkerProcess) -> None:
        if process.freezes:
            process.freezes = False
            self.freeze(process, self.rng.randint(500, 40_000))
        else:
            self.crash(process, "between two steps")

    def freeze(self, process: WorkerProcess, ms: int) -> None:
        """Stop a process for a time."""
        if process.state is not Life.RUNNING:
            return
        self.note(f"{process.name} freezes for {ms} ms")
        process.freeze()
        self.coordinator.silent_since(
            process.worker.membership.member, process.worker.membership.lease.pause()
        )
        self.clock.call_at(self.clock.now() + ms, lambda: self.thaw(process))

    def thaw(self, process: WorkerProcess) -> None:
        """Let it go on."""
        if process.state is not Life.FROZEN:
            return
        self.note(f"{process.name} goes on")
        if self.rng.random() < 0.5:
            process.call(process.worker.membership.heartbeat)
            process.thaw()
        else:
            process.thaw()
            process.call(process.worker.membership.heartbeat)

    def leave(self, process: WorkerProcess) -> None:
        """Let a worker stop in good order."""
        self.note(f"{process.name} leaves")
        process.spawn(self._leave(process), "leave")

    async def _leave(self, process: WorkerProcess) -> None:
        await process.worker.leave()
        self.note(f"{process.name} has left")
        process.end()
        self.processes.remove(process)
        if not self.processes:
            self.start("last")

    # -- traps ---------------------------------------------------------------------------------

    def sprung(self, label: str, size: int = 2) -> Trap | None:
        """The trap that catches a process in this; what is of one record can't be torn."""
        for trap in self.traps:
            if trap.label == label and (trap.phase != "torn" or size > 1):
                trap.left -= 1
                if trap.left <= 0:
                    self.traps.remove(trap)
                    return trap
        return None

    def _may_die(self, process: WorkerProcess, label: str) -> None:
        if self.traps and self.sprung(label) is not None:
            process.last_step = process.steps + self.rng.randint(1, 25)

    def _committing(self, process: WorkerProcess) -> bool:
        """False if it dies before its commit."""
        trap = self.sprung("commit") if self.traps else None
        if trap is None:
            return True
        if trap.phase == "before":
            process.worker.waits_in.add("commit")
            self.crash(process, "before a commit")
            return False
        self.coverage[("commit", "after")] += 1
        process.last_step = process.steps + 1
        return True

    # -- the stage of handlers -----------------------------------------------------------------

    def begin(self, n: int, ctx: JobContext) -> tuple[Work, Callable[[str], None], int]:
        """An attempt begins."""
        run = self.oracle.begin(n, ctx)
        work = self.oracle.by_n[n].work
        if self.trace is None:
            return work, lambda how: self.oracle.end(run, ctx, how), self.clock.now()
        process = PROCESS.get()
        who = f"{'?' if process is None else process.name}{' (fenced)' if run is None else ''}"
        what = f"{ctx.name} {n} of {ctx.key}, attempt {ctx.attempt} of generation {ctx.generation}"
        self.note(f"  {who} runs {what}")

        def ended(how: str) -> None:
            self.note(f"  {who} ended {n}: {how}")
            self.oracle.end(run, ctx, how)

        return work, ended, self.clock.now()

    def draw(self) -> str:
        """An act by chance."""
        return self.rng.choice(("ok", "ok", "fail", "permanent", "discard"))

    def unwinds(self) -> int:
        """How long an attempt goes on that is interrupted."""
        return 0 if self.purging_rng is None else self.purging_rng.choice(UNWINDING_MS)

    def keeps(self, n: int, ctx: JobContext, part: int) -> None:
        """A checkpoint is asked for."""
        self.oracle.keeps(n, ctx, part)

    def kept(self, n: int, ctx: JobContext, part: int) -> None:
        """A checkpoint is durable."""
        self.note(f"  part {part} of {n} is kept")
        self.oracle.kept(n, ctx, part)

    def gathers(self, n: int, ctx: JobContext) -> None:
        """A batch is durable, as a whole."""
        self.oracle.gathers(n, ctx)

    # -- who is told ---------------------------------------------------------------------------

    def _opened(self, process: WorkerProcess, place: Partition) -> None:
        self.oracle.taken(place)
        owner, name = self.coordinator.owner, process.name
        epoch = Epoch(
            process,
            place,
            lambda: (o := owner(place)) is not None and o.name == name,
            self._commands_taken(process, place),
        )
        self.oracle.epochs[(id(process), place)] = epoch
        self._may_die(process, "open")

    def _commands_taken(self, process: WorkerProcess, place: Partition) -> Callable[[], int]:
        """How far whoever has just opened a partition of a queue knows or obeys its commands."""
        partition = place[1]
        known = len(self.log.topics[(self.names.commands(QUEUE), partition)])

        def taken() -> int:
            pipeline = process.worker.engine.queues.get((QUEUE, partition))
            return known if pipeline is None else max(known, pipeline.commands_taken)

        return taken

    def _closed(self, process: WorkerProcess, place: Partition) -> None:
        epoch = self.oracle.epochs.pop((id(process), place), None)
        if epoch is not None:
            epoch.closed = True

    def _on_generation(self) -> None:
        if self.trace is not None:
            owners = {f"{t}/{p}": member.name for (t, p), member in self.coordinator.owners.items()}
            self.note(f"generation {self.coordinator.generation}: {owners}")

    def _listeners(self) -> dict[str, Callable[[Record], None]]:
        names, oracle = self.names, self.oracle
        found: dict[str, Callable[[Record], None]] = {names.dead: oracle.lettered}
        for queue in self.registry.queues():
            found[names.queue(queue)] = self._queue_written
            found[names.retry(queue)] = oracle.opened
            found[names.ledger(queue)] = oracle.over
            found[names.commands(queue)] = self._commands_written
        for event_type in self.registry.event_types():
            found[names.event(event_type)] = self._event_written
        return found

    def _on_append(self, record: Record) -> None:
        if self.trace is not None:
            key = (record.key or b"")[:60].decode("latin-1")
            value = "tombstone" if record.value is None else ""
            self.note(f"    {record.topic}/{record.partition}@{record.offset} {key} {value}")
        listener = self._on_record.get(record.topic)
        if listener is not None:
            listener(record)
        if record.key == COMMITTED:
            self._check_sums()

    def _check_sums(self) -> None:
        """What owners count adds up at any time."""
        for process in self.processes:
            for pipeline in process.worker.engine.queues.values():
                if pipeline.tables.unaccounted:
                    self.oracle.fault("sums", f"{pipeline.place.topic} does not add up")

    def _queue_written(self, record: Record) -> None:
        self.oracle.arrived(record)
        self._event_written(record)

    def _event_written(self, record: Record) -> None:
        for process in self.processes:
            process.worker.written(record)

    def _commands_written(self, record: Record) -> None:
        for process in self.processes:
            process.worker.commands_written()
