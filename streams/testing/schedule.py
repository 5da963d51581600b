"""One seed's schedule: which jobs are enqueued when, and what goes wrong when."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Final

from streams.jobs.identity import JobKey, fan_out_id
from streams.testing.mishaps import Mishaps
from streams.testing.purging import Purging
from streams.testing.rescheduling import Rescheduling
from streams.testing.watched import Watched
from streams.testing.workload import KEYS, QUEUE, UNIQUE_MS, Work
from streams.wire.commands import Command, encode_command
from streams.wire.envelope import Envelope, encode
from streams.worker.ports import Append

if TYPE_CHECKING:
    from streams.testing.world import World

BOTH: Final = ("discard", "replay")
LASTS_MS: Final = (0, 0, 0, 0, 0, 0, 0, 20, 20, 200, 200, 2_000, 2_000, 12_000)
JOBS_END: Final = 20_000
FAULTS_END: Final = 35_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """How much happens in a schedule."""

    jobs: int = 50
    faults: int = 3
    workers: int = 2


class Schedule:
    """Puts everything that is to happen on the world's clock."""

    def __init__(self, world: World, size: Size) -> None:
        self._world = world
        self._size = size
        self._rng = world.rng
        self._began = world.clock.now()
        self._trouble = world.rng.choice((0.2, 0.4, 0.6, 1.0))  # how many jobs may be special
        self.faults: list[str] = []
        self.copies = 0

    def arrange(self) -> None:
        """All of it."""
        rng, world = self._rng, self._world
        for worker in range(self._size.workers):
            skew = rng.randint(-1_000, 1_000) if rng.random() < 0.5 else 0
            when = rng.choice((0, 10, 4_000, 9_000)) if worker else 0
            self._at(when + rng.randint(0, 50), partial(world.start, f"w{worker + 1}", skew))
        n = 0
        while n < self._size.jobs:
            when = rng.randint(0, JOBS_END)
            alike = rng.choice((0.74, 0.89)) if rng.random() < 0.1 else None
            for _ in range(min(rng.randint(1, 25), self._size.jobs - n)):
                n += 1
                self._arrange_job(n, when, alike)
                when += rng.choice((0, 0, 0, 0, 0, 1, 3))
        when = rng.randint(0, JOBS_END)
        for _ in range(rng.choice((0, 1, 3))):
            self._at(when, self._write_nonsense)
        mishaps = Mishaps(world)
        for _ in range(self._size.faults + rng.randint(0, 3)):
            when = rng.randint(0, FAULTS_END - 3_000)
            name, fault = mishaps.draw()
            self.faults.append(name)
            # A trap waits for its moment: it is set early.
            self._at(rng.choice((0, when // 2)) if name == "trap" else when, fault)
        for _ in range(rng.randint(1, 3)):
            self._at(rng.randint(10_000, FAULTS_END), self.replay_some)
        self._at(FAULTS_END, self._calm_down)
        if world.purging_rng is not None:
            Purging(world, world.purging_rng).arrange(self._began, FAULTS_END)
        if world.rescheduling_rng is not None:
            Rescheduling(world, world.rescheduling_rng).arrange(self._began, FAULTS_END)

    def _at(self, when: int, what: Callable[[], object]) -> None:
        self._world.clock.call_at(self._began + when, what)

    # -- jobs ----------------------------------------------------------------------------------

    def _arrange_job(self, n: int, when: int, alike: float | None) -> None:
        rng = self._rng
        chance = rng.random() if rng.random() < self._trouble else 0.0
        if alike is not None:  # all jobs of a burst give up at once, or are events
            chance = alike
        lasts = LASTS_MS[int(rng.random() * len(LASTS_MS))]
        account = int(rng.random() * KEYS)
        parts = self._world.parts if n % 3 else 0
        job = Watched(f"j{n}", n, Work(lasts=lasts, parts=parts), lane=("keyed", account))
        if chance < 0.50:
            pass
        elif chance < 0.55:
            job.work = Work(lasts=lasts, parts=parts, fickle=True)
        elif chance == 0.74:
            job.work = Work(("permanent",))
        elif chance < 0.75:
            self._give_acts(job, lasts, parts)
        elif chance < 0.80:
            self._snoozes(job, when, lasts)
        elif chance < 0.85:
            job.plain = False
            job.not_before = self._began + when + rng.randint(1, 30_000)
        elif chance < 0.90:
            self._at(when, lambda: self._emit(n, account, lasts))
            return
        elif chance < 0.94:
            self._cancel_later(job, when, lasts)
        elif chance < 0.96:
            job.expires = self._began + when + rng.randint(1, 10_000)
        elif chance < 0.98:
            job.plain = False
            again = when + rng.choice((rng.randint(0, UNIQUE_MS), rng.randint(UNIQUE_MS, 60_000)))
            self._at(again, lambda: self._enqueue(job))
        else:
            job.kind = "unknown"
            job.lane = ("unknown", account)
        if job.kind == "keyed" and rng.random() < (0.15 if alike is None else 0.7):
            job.kind, job.lane = "loose", None
        self._at(when, lambda: self._enqueue(job))

    def _give_acts(self, job: Watched, lasts: int, parts: int) -> None:
        rng = self._rng
        acts = tuple(
            rng.choice(("ok", "fail", "fail", "later", "permanent", "discard", "hang"))
            for _ in range(3)
        )
        again = rng.choice((("ok",), ("permanent",), ("fail", "ok")))
        children = rng.choice((0, 0, 0, 1, 2))
        is_batch = self._world.batches
        if is_batch:
            children *= 3
        job.work = Work(acts, lasts, children, again, is_batch=is_batch, parts=parts)

    def _snoozes(self, job: Watched, when: int, lasts: int) -> None:
        until = self._began + when + self._rng.randint(1, 15_000)
        blocks = self._rng.random() < 0.5
        job.work = Work(lasts=lasts, snooze_until=until, snooze_blocks=blocks)

    def _cancel_later(self, job: Watched, when: int, lasts: int) -> None:
        rng = self._rng
        job.cancelled = True
        if rng.random() < 0.3:
            job.plain = False
            job.must_cancel = True
            job.not_before = self._began + FAULTS_END + 300_000
        else:
            job.work = Work(lasts=rng.choice((0, 200, 15_000)), parts=self._world.parts)
        self._at(when + rng.randint(0, 6_000), lambda: self._command("cancel", job))

    def _enqueue(self, job: Watched) -> None:
        world = self._world
        now = world.clock.now()
        job.times.append(now)
        world.oracle.expect(job)
        account = None if job.lane is None else job.lane[1]
        key = None if account is None else f"{job.kind}:{account}"
        payload = f'{{"account":{account or 0},"n":{job.n}}}'.encode()
        envelope = Envelope(
            id=job.id,
            name=job.kind,
            source="simulator",
            time=now,
            payload=payload,
            queue=QUEUE,
            key=key,
            not_before=job.not_before or None,
            expires=job.expires,
        )
        record_key, value, headers = encode(envelope)
        append = Append(world.names.queue(QUEUE), None, record_key, value, headers)
        world.log.write(append)
        while self._rng.random() < 0.06:
            self._copy_later(append)

    def _copy_later(self, append: Append) -> None:
        self.copies += 1
        when = self._world.clock.now() + self._rng.choice((0, 500, 8_000, 40_000))
        self._world.clock.call_at(when, lambda: self._world.log.write(append))

    def _emit(self, n: int, account: int, lasts: int) -> None:
        world = self._world
        event_id = f"e{n}"
        id_ = fan_out_id("react", "simulator", event_id)
        job = Watched(id_, n, Work(lasts=lasts), kind="react", lane=("react", account))
        world.oracle.expect(job)
        envelope = Envelope(
            id=event_id,
            name="happened",
            source="simulator",
            time=world.clock.now(),
            payload=f'{{"account":{account},"n":{n}}}'.encode(),
            key=str(account),
        )
        record_key, value, headers = encode(envelope)
        append = Append(world.names.event("happened"), None, record_key, value, headers)
        world.log.write(append)
        if self._rng.random() < 0.2:
            self._copy_later(append)

    def _write_nonsense(self) -> None:
        world = self._world
        topic = world.names.queue(QUEUE)
        world.log.write(Append(topic, self._rng.randrange(2), b"k", b"\xff\x00"))

    # -- commands ------------------------------------------------------------------------------

    def _command(self, kind: str, job: Watched, generation: int = 0) -> None:
        world = self._world
        self._world.note(f"somebody asks to {kind} {job.id}")
        ordering_key = None if job.lane is None else f"{job.lane[0]}:{job.lane[1]}"
        if job.kind == "child":
            ordering_key = f"child:{job.lane[1] if job.lane else 0}"
        key = JobKey(name=job.kind, ordering_key=ordering_key, id=job.id)
        record_key, value = encode_command(
            Command(kind=kind, job=key, reason="asked", generation=generation)
        )
        partition = world.partition_of((ordering_key or job.id).encode())
        world.log.write(Append(world.names.commands(QUEUE), partition, record_key, value))

    def replay_some(self, chance: float = 0.6) -> None:
        """Replay some of the letters that stand, some of them twice; discard others."""
        rng, world = self._rng, self._world
        for job in list(world.oracle.jobs.values()):
            if job.state != "dead" or job.kind == "unknown" or rng.random() > chance:
                continue
            if not world.oracle.has_letter(job):
                continue
            kinds = rng.choice((("replay",), ("replay",), ("replay", "replay"), ("discard",), BOTH))
            for kind in kinds:
                asked = job.replays if kind == "replay" else job.discards
                asked.add(job.generation)
                self._command(kind, job, job.generation)

    def _calm_down(self) -> None:
        world = self._world
        world.note("no more faults")
        world.traps.clear()
        world.slow_until = 0
        for process in list(world.processes):
            process.last_step = -1
            process.refusals = 0
            world.thaw(process)
        if not world.processes:
            world.start("last")
