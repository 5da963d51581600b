"""fanout: events that one handler subscribes to, until their jobs are over."""

from __future__ import annotations

from typing import Final

from streams.client_request import now_ms
from streams.dev.bench import handlers, load
from streams.dev.bench.bench import Bench, Figures
from streams.dev.bench.drain import drain_queue
from streams.dev.bench.recount import records_of
from streams.dev.bench.stage import PARTITIONS, Ground, Stage
from streams.dev.bench.statistics import Window
from streams.jobs.identity import fan_out_id

_SUBSCRIBER: Final = "bench.subscriber"


async def run(stage: Stage, jobs: int) -> Figures:
    """One round: all events are there before the worker starts."""
    ground = stage.ground()
    kind = handlers.Happened.__event_type__
    await ground.make_topics(event_types=[kind])
    stage.tell(f"filling the event topic with {jobs:,} events")
    now = now_ms()
    envelopes = (load.event_envelope(kind, n, now) for n in range(jobs))
    await load.fill(ground.bootstrap, ground.names.event(kind), load.placed(envelopes, PARTITIONS))
    expected = {fan_out_id(_SUBSCRIBER, load.SOURCE, load.id_of(n)): n for n in range(jobs)}
    stage.tell("fanning out, and draining the queue")
    ledger, cpu = await drain_queue(stage, ground, expected)
    window = Window(
        first=await _first_stamp(ground), last=max(ledger.stamps), records=len(expected)
    )
    return {"jobs_per_second": window.per_second, "cpu_us_per_job": cpu.us_per_record(window)}


async def _first_stamp(ground: Ground) -> int:
    topic = ground.names.queue(handlers.QUEUE)
    return min([int(record.timestamp) async for record in records_of(ground.bootstrap, topic)])


BENCH: Final = Bench(
    name="fanout",
    how=(
        "The event topic is full before the worker starts, which fans out to one subscriber and "
        "runs its jobs at the same time. Counted are all jobs, over the time from the broker "
        "timestamp of the first job on the queue to that of the last ledger record."
    ),
    jobs=50_000,
    rounds=1,
    run=run,
)
