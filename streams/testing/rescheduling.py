"""Delayed jobs that get another time at random moments, some before their queue was read."""

from __future__ import annotations

from functools import partial
from random import Random
from typing import TYPE_CHECKING, Final

from streams.jobs.identity import JobKey
from streams.testing.watched import Watched
from streams.testing.workload import KEYS, QUEUE, Work
from streams.wire.commands import Command, encode_command
from streams.wire.envelope import Envelope, encode
from streams.worker.ports import Append

if TYPE_CHECKING:
    from streams.testing.world import World

JOBS: Final = 4
SENT_END: Final = 20_000
AFTER: Final = (0, 0, 1, 50, 2_000, 10_000)  # from one command about a job to the next, in ms


def has_rescheduling(seed: int) -> bool:
    """Whether jobs get other times in its schedule; what other seeds mean is as it was."""
    return seed // 8 % 4 == 1


class Rescheduling:
    """Puts jobs of its own on the world's clock, and commands about them and others.

    Its own ones wait until nothing goes wrong any more, so that the last command about each says
    when it is to start. The others may have started before.
    """

    def __init__(self, world: World, rng: Random) -> None:
        self._world = world
        self._rng = rng

    def arrange(self, began: int, until: int) -> None:
        """Put all on the world's clock; `until` no more goes wrong, in ms from the start."""
        rng, clock = self._rng, self._world.clock
        calm = began + until
        for n in range(JOBS):
            when = began + rng.randint(0, SENT_END)
            account = rng.randrange(KEYS)
            lane = ("keyed", account) if rng.random() < 0.5 else None
            job = Watched(f"r{n}", 1_000 + n, Work(), kind="keyed" if lane else "loose", lane=lane)
            job.plain = False
            job.start_at = job.not_before = calm + rng.randint(150_000, 300_000)
            clock.call_at(when, partial(self._enqueue, job, account))
            for _ in range(rng.randint(1, 4)):
                when += rng.choice(AFTER)
                due = calm + rng.randint(60_000, 300_000)
                clock.call_at(when, partial(self._ask, job, due, is_last_word=True))
        for _ in range(3):
            clock.call_at(began + rng.randint(0, until), self._ask_of_some)

    def _enqueue(self, job: Watched, account: int) -> None:
        world, now = self._world, self._world.clock.now()
        job.times.append(now)
        world.oracle.expect(job)
        envelope = Envelope(
            id=job.id,
            name=job.kind,
            source="simulator",
            time=now,
            payload=f'{{"account":{account},"n":{job.n}}}'.encode(),
            queue=QUEUE,
            key=None if job.lane is None else f"{job.kind}:{account}",
            not_before=job.not_before,
        )
        key, value, headers = encode(envelope)
        world.log.write(Append(world.names.queue(QUEUE), None, key, value, headers))

    def _ask_of_some(self) -> None:
        now = self._world.clock.now()
        for job in list(self._world.oracle.jobs.values()):
            if job.must_cancel or job.start_at is not None or job.kind not in ("keyed", "loose"):
                continue
            if job.not_before or self._rng.random() < 0.2:
                job.plain = False  # it lets those of its key go first
                due = now + self._rng.randint(-1_000, 20_000)
                self._ask(job, due, is_last_word=False)

    def _ask(self, job: Watched, due: int, *, is_last_word: bool) -> None:
        world = self._world
        world.note(f"somebody asks to start {job.id} at {due - world.began}")
        job.not_before = min(job.not_before, due)
        if is_last_word:
            job.start_at = due
        ordering_key = None if job.lane is None else f"{job.lane[0]}:{job.lane[1]}"
        about = JobKey(name=job.kind, ordering_key=ordering_key, id=job.id)
        key, value = encode_command(Command(kind="reschedule", job=about, due=due))
        partition = world.partition_of((ordering_key or job.id).encode())
        world.log.write(Append(world.names.commands(QUEUE), partition, key, value))
