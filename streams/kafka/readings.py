"""What a worker tells of its queues and of itself, read when somebody asks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from faust.types import TP

from streams.jobs.states import State
from streams.kafka.clock import WallClock
from streams.observe.ages import Commit, CommitAges, Place
from streams.observe.health import QueueReading, WorkerReading
from streams.observe.sums import SumsReading
from streams.worker.engine import Engine

OPEN_STATES: Final = (
    State.SCHEDULED,
    State.RUNNING,
    State.RETRYING,
    State.PARKED,
    State.SLEEPING,
)
"""Of the jobs in the open table that are told by state."""


class Readings:
    """Of one worker; `end` and `committed` are what its consumer knows of a partition."""

    def __init__(
        self,
        engine: Engine,
        queues: Sequence[str],
        clock: WallClock,
        *,
        end: Callable[[TP], int | None],
        committed: Callable[[TP], int | None],
    ) -> None:
        self._engine = engine
        self._queues = queues
        self._clock = clock
        self._end = end
        self._committed = committed
        self._ages = CommitAges()

    def queues(self) -> list[QueueReading]:
        """How each queue stands on this worker."""
        now = self._clock.now()
        near = self._engine.executor.held_near()
        ages = self._ages.look(self._commits(), now)
        return [self._queue(queue, now, near[queue], ages) for queue in self._queues]

    def sums(self) -> list[SumsReading]:
        """What became of the jobs of each partition that this worker owns."""
        return [
            SumsReading(
                queue=queue,
                partition=partition,
                jobs=pipeline.tables.told_sums(),
                unaccounted=pipeline.tables.unaccounted,
            )
            for (queue, partition), pipeline in self._engine.queues.items()
        ]

    def worker(self) -> WorkerReading:
        """How this worker itself stands."""
        executor, options = self._engine.executor, self._engine.options
        return WorkerReading(
            worker=options.worker,
            group=options.group,
            abandoned_threads=executor.threads.abandoned,
            slots=tuple(executor.told_slots()),
            next_ticks=self._engine.schedules.told_due(),
            problems=executor.problems(),
        )

    def _queue(self, queue: str, now: int, held_near: int, ages: dict[Place, int]) -> QueueReading:
        lags: list[int] = []
        oldest = in_hand = dead = active = partitions = age = 0
        held = held_near
        open_ = dict.fromkeys(OPEN_STATES, 0)
        for (name, partition), pipeline in self._engine.queues.items():
            if name != queue:
                continue
            end = self._end(TP(pipeline.place.topic, partition))
            if end is not None:
                lags.append(max(0, end - pipeline.watermark.value))
            oldest = max(oldest, pipeline.oldest_waiting_ms(now))
            in_hand += pipeline.running
            active += pipeline.active
            partitions += 1
            age = max(age, ages.get((queue, partition), 0))
            counts = pipeline.tables.counts
            dead += counts.dead
            held += counts.held
            for state in OPEN_STATES:
                open_[state] += counts.states[state]
        return QueueReading(
            queue=queue,
            lag=sum(lags) if lags else None,
            oldest_waiting_ms=oldest,
            in_hand=in_hand,
            dead=dead,
            active=active,
            held=held,
            open={state.value: count for state, count in open_.items()},
            partitions=partitions,
            commit_age_ms=age,
            is_paused=queue in self._engine.paused,
        )

    def _commits(self) -> dict[Place, Commit]:
        """What is committed of each partition, and where its queue ends."""
        commits = {}
        for (queue, partition), pipeline in self._engine.queues.items():
            tp = TP(pipeline.place.topic, partition)
            end = self._end(tp)
            if end is not None:
                committed = self._committed(tp)
                offset = pipeline.watermark.value if committed is None else committed
                commits[(queue, partition)] = Commit(offset=offset, end=end)
        return commits
