"""Watches a schedule while it runs: what handlers do, what is written, what is committed."""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import Any

import orjson

from streams.jobs.context import JobContext
from streams.testing.coordinator import Partition
from streams.testing.process import PROCESS, Life, Process
from streams.testing.purges import Purge, Purges
from streams.testing.watched import OVER, Epoch, Lane, Run, Watched
from streams.testing.workload import ATTEMPTS, callback_n, child_work
from streams.wire.envelope import Record
from streams.wire.headers import CE_ID, CE_TYPE

ON_TIME_MS = 30_000  # in which what is due starts, once nothing goes wrong
KILLED_MOST = 3  # ends of processes that a job is blamed for before it is dead


class Oracle:
    """Judges at once what can be judged at once; see `streams.testing.judge` for the end."""

    def __init__(self) -> None:
        self.faults: list[str] = []
        self.attempts = 0
        self.fenced = 0  # attempts that began on a worker which did not own the partition
        self.jobs: dict[str, Watched] = {}
        self.by_n: dict[int, Watched] = {}
        self.arrivals: dict[Partition, list[Watched | None]] = defaultdict(list)
        self.epochs: dict[tuple[int, Partition], Epoch] = {}
        self.endings: dict[str, dict[tuple[int, int], set[bytes]]] = defaultdict(dict)
        self.ended: dict[str, dict[tuple[int, int], int]] = defaultdict(dict)
        self.overs: Counter[tuple[Partition, str]] = Counter()  # jobs that are over, by state
        self.letters: set[tuple[str, int]] = set()  # by job and generation
        self.gathered: set[int] = set()  # callbacks, by number, whose batches are complete
        self.nonsense: set[str] = set()  # letters of what could not be read, by place
        # Whose starts a process has recorded, in order: each counts until an outcome is durable.
        self._recorded: dict[Process, dict[Watched, None]] = defaultdict(dict)
        self._running: dict[Run, None] = {}
        self._lanes: dict[tuple[str, int], Lane] = defaultdict(Lane)
        self.purges = Purges(self.fault)

    def fault(self, kind: str, text: str) -> None:
        """Something that was promised did not hold."""
        self.faults.append(f"{kind}: {text}")

    def expect(self, job: Watched) -> Watched:
        """A job that the schedule knows."""
        self.by_n[job.n] = job
        return self.jobs.setdefault(job.id, job)

    def purge(self, purge: Purge) -> None:
        """A command that purges is in its topic."""
        self.purges.written(purge, self.jobs.values(), {run.job for run in self._running})

    # -- what is written -----------------------------------------------------------------------

    def arrived(self, record: Record) -> None:
        """A record in a queue."""
        id_ = next((value or b"" for name, value in record.headers if name == CE_ID), b"").decode()
        arrivals = self.arrivals[(record.topic, record.partition)]
        job = self.jobs.get(id_)
        if job is None and id_:
            m = orjson.loads(record.value or b"")
            kind = next(value or b"" for name, value in record.headers if name == CE_TYPE).decode()
            job = Watched(id_, m["n"], child_work(m["n"]), kind=kind, lane=(kind, m["account"]))
            job.plain = kind != "gathered"
            self.expect(job)
        arrivals.append(job)
        if job is None or job.arrival >= 0:
            return
        job.arrival = record.offset
        job.place = (record.topic, record.partition)
        if job.lane is not None:
            self._lanes[job.lane].jobs.append(job)

    def opened(self, record: Record) -> None:
        """A record of the retry topic."""
        if record.key is None or record.key[:1] == b"#":
            return
        job = self._job_of(record)
        if job is None:
            return
        if record.value is None:
            if job.state not in OVER:
                self.fault("safety", f"the entry of {job.id} was removed, and it is not over")
            return
        m = orjson.loads(record.value.partition(b"\n")[0])
        if job.state in OVER and m["time"] <= job.time and m["generation"] <= job.generation:
            self.fault("safety", f"{job.id} was opened again after it was {job.state}")
        self._set(job, m)
        job.is_supposed = m.get("supposed", False)
        job.due = m["due"]
        if m["starts"]:
            self._note_start(job)
        if job.state == "dead":
            self._judge_death(job)
            self.purges.died(job)
            self._settle(job)

    def over(self, record: Record) -> None:
        """A record of the ledger."""
        if (record.key or b"").startswith(b"#"):
            return  # a mark of its owner
        job = self._job_of(record)
        if job is None or record.value is None:
            return
        m = orjson.loads(record.value)
        if not any(time == m["time"] for time, _ in self.ended[job.id]):
            self.overs[(job.place, m["state"])] += 1
        endings = self.endings[job.id].setdefault((m["time"], m["generation"]), set())
        endings.add(record.value)
        self.ended[job.id][(m["time"], m["generation"])] = m["ended"]
        if len(endings) > 1:
            self.fault("safety", f"{job.id} was settled twice: {sorted(endings)}")
        self.purges.ended(job, m)
        self._set(job, m)
        job.due = None
        self._settle(job)

    def lettered(self, record: Record) -> None:
        """A record of the dead-letter topic."""
        key = record.key or b""
        if key[:1] != b"[":
            self.nonsense.add(key.decode())
            return
        job, _, place = key.rpartition(b"#")
        generation = place.rpartition(b"/")[2]
        letter = (orjson.loads(job)[2], int(generation))
        if record.value is None:
            self.letters.discard(letter)
        else:
            self.letters.add(letter)

    def has_letter(self, job: Watched) -> bool:
        """Whether an operator would see it."""
        return (job.id, job.generation) in self.letters

    def _job_of(self, record: Record) -> Watched | None:
        id_ = orjson.loads(record.key or b"")[2]
        job = self.jobs.get(id_)
        if job is None:
            self.fault("safety", f"state was written of {id_}, which nobody enqueued")
        return job

    @staticmethod
    def _set(job: Watched, m: dict[str, Any]) -> None:
        job.state, job.time, job.generation = m["state"], m["time"], m["generation"]
        job.is_stirred = False
        if job.generation or job.state == "scheduled":
            job.plain = False

    def _settle(self, job: Watched) -> None:
        if job.lane is None or not job.plain or job.state in ("cancelled", "expired"):
            return
        lane = self._lanes[job.lane]
        for earlier in self._unsettled_before(lane, job):
            self.fault("safety", f"{job.id} was settled before {earlier.id} of its key was")
        lane.settled_to = max(lane.settled_to, job.arrival)

    # -- what handlers do ----------------------------------------------------------------------

    def begin(self, n: int, ctx: JobContext) -> Run | None:
        """An attempt begins; None if what it does does not count."""
        self.attempts += 1
        process = PROCESS.get()
        assert process is not None
        job = self.by_n[n]
        epoch = self.epochs.get((id(process), job.place))
        if epoch is None or not epoch.is_current:
            self.fenced += 1
            return None
        job.attempts += 1
        job.is_stirred = True
        self.purges.began(job, epoch)
        self._judge_time(job, process)
        self._judge_checkpoint(job, ctx)
        if job.kind == "gathered":
            self._judge_batch(job)
        if job.state in OVER and ctx.enqueued_at <= job.time and ctx.generation <= job.generation:
            self.fault("safety", f"{job.id} ran again after it was {job.state}")
        run = Run(job, epoch)
        self._running[run] = None
        if job.lane is not None:
            self._judge_order(job, epoch)
            self._lanes[job.lane].runs.append(run)
        return run

    def keeps(self, n: int, ctx: JobContext, part: int) -> None:
        """A handler asks for a checkpoint."""
        asked = self.by_n[n].asked
        asked[ctx.enqueued_at] = max(part, asked.get(ctx.enqueued_at, 0))

    def kept(self, n: int, ctx: JobContext, part: int) -> None:
        """A handler was told that its checkpoint is durable."""
        kept = self.by_n[n].kept
        kept[ctx.enqueued_at] = max(part, kept.get(ctx.enqueued_at, 0))

    def gathers(self, n: int, ctx: JobContext) -> None:
        """A handler was told that its batch is durable: from now on its callback has to come."""
        if ctx.generation == self.by_n[n].generation:
            self.gathered.add(callback_n(n, ctx.generation))

    def _judge_batch(self, job: Watched) -> None:
        """A callback begins: all of its children are over."""
        first = job.n - 1_000_000
        for child in (self.by_n.get(first + each) for each in range(10)):
            if child is not None and not child.settled and not child.generation:
                self.fault("safety", f"{job.id} began before its child {child.id} was over")

    def _judge_checkpoint(self, job: Watched, ctx: JobContext) -> None:
        part = ctx.checkpointed or 0
        least, most = job.kept.get(ctx.enqueued_at, 0), job.asked.get(ctx.enqueued_at, 0)
        if not least <= part <= most:
            self.fault("safety", f"{job.id} began with part {part}, not with {least} to {most}")

    def end(self, run: Run | None, ctx: JobContext, how: str) -> None:
        """An attempt ended."""
        if run is None:
            return
        job, epoch = run.job, run.epoch
        self._running.pop(run, None)
        if job.state == "running":  # its start counts until its outcome is durable
            self._recorded[epoch.process][job] = None
        if job.lane is not None:
            self._lanes[job.lane].runs.remove(run)
        if how in ("hang", "interrupted") and epoch.process.clock.now() >= ctx.deadline:
            job.disturbed |= how == "interrupted"  # it was frozen, or its clock stepped
            how = "fail"
        if how == "snooze aside":
            job.plain = False
        if how == "refused":
            how = "fail"
            job.disturbed = True
        spent = how in ("fail", "later") and ctx.attempt >= ATTEMPTS
        if epoch.is_current and (spent or how in ("ok", "discard", "permanent")):
            job.decided = epoch

    def died(self, process: Process) -> None:
        """A process ended: what it ran, was about to start or to settle may be the reason."""
        for job in self._recorded.pop(process, ()):
            if job.state == "running" and not self._runs(job):
                job.killed += 1
        for run in [run for run in self._running if run.epoch.process is process]:
            run.job.killed += 1
            del self._running[run]

    def expelled(self, process: Process) -> None:
        """A process was silent for too long: what blocks it may be one of the jobs that it ran."""
        for run in self._running:
            if run.epoch.process is process:
                self._blame(run)

    def taken(self, place: Partition) -> None:
        """A partition is opened: what had ended before, and is not durably over, is in doubt.

        So is what a frozen process still runs, which may not have been expelled for us yet.
        """
        for run in self._running:
            if run.job.place == place and run.epoch.process.state is Life.FROZEN:
                self._blame(run)
        for process, recorded in self._recorded.items():
            kept: dict[Watched, None] = {}
            for job in recorded:
                if job.place == place and job.state == "running" and not self._runs(job):
                    job.killed += 1
                else:
                    kept[job] = None
            self._recorded[process] = kept

    def _blame(self, run: Run) -> None:
        run.job.killed += not run.blamed
        run.blamed = True

    def _runs(self, job: Watched) -> bool:
        return any(run.job is job for run in self._running)

    def _note_start(self, job: Watched) -> None:
        """Its start was recorded by whoever owns its partition."""
        owners = [
            epoch.process
            for epoch in self.epochs.values()
            if epoch.place == job.place
            and epoch.is_current
            and epoch.process.state is not Life.DEAD
        ]
        for process in owners:
            self._recorded[process][job] = None
        job.killed += not owners  # it was on its way when the process ended

    def _judge_death(self, job: Watched) -> None:
        natural = job.work.ending(job.generation)[0] == "dead" or job.work.fickle
        if natural or job.disturbed or job.kind == "unknown" or job.killed >= KILLED_MOST:
            return
        self.fault("safety", f"{job.id} died of nothing that it did")

    def _judge_time(self, job: Watched, process: Process) -> None:
        now = process.clock.now()
        # Once an owner's clock has released it (it is parked, say), no other clock counts.
        if now < job.not_before and job.state in ("", "scheduled"):
            self.fault("safety", f"{job.id} ran {job.not_before - now} ms before its time")
        if job.start_at is not None and not 0 <= now - job.start_at <= ON_TIME_MS:
            self.fault("safety", f"{job.id} ran {now - job.start_at} ms after the time it got last")
        if job.due is not None and now < job.due:
            self.fault("safety", f"{job.id} ran {job.due - now} ms before it was due")
        if job.expires is not None and now > job.expires:
            self.fault("safety", f"{job.id} ran after it had expired")

    def _judge_order(self, job: Watched, epoch: Epoch) -> None:
        assert job.lane is not None
        lane = self._lanes[job.lane]
        for run in lane.runs:
            if run.epoch.is_current:
                self.fault("safety", f"{job.id} began beside {run.job.id} of its key")
        if not job.plain:
            return
        for earlier in self._unsettled_before(lane, job):
            if earlier.decided is not epoch:
                self.fault("safety", f"{job.id} began before {earlier.id} of its key was over")
        if job.arrival < lane.settled_to and not job.settled:
            self.fault("safety", f"{job.id} began after a later job of its key was settled")

    @staticmethod
    def _unsettled_before(lane: Lane, job: Watched) -> list[Watched]:
        jobs = lane.jobs
        while lane.unsettled < len(jobs) and (
            jobs[lane.unsettled].settled or not jobs[lane.unsettled].plain
        ):
            lane.unsettled += 1
        found = []
        for at in range(lane.unsettled, len(jobs)):
            earlier = jobs[at]
            if earlier.arrival >= job.arrival:
                break
            if earlier.plain and not earlier.settled and not earlier.may_vanish:
                found.append(earlier)
        return found

    # -- commits -------------------------------------------------------------------------------

    def committed(self, place: Partition, before: int, after: int) -> None:
        """A commit."""
        if after < before:
            self.fault("safety", f"the commit of {place} fell from {before} to {after}")
        arrivals = self.arrivals.get(place)
        if arrivals is None:
            return
        for offset in range(before, min(after, len(arrivals))):
            job = arrivals[offset]
            if job is not None and not job.state:
                self.fault("safety", f"{place} is committed past {job.id}, which is nowhere else")
        if after > len(arrivals):
            self.fault("safety", f"{place} is committed past its end")
