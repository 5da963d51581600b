"""What a job costs the engine, against a yardstick in the same process: a guard, no benchmark."""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import orjson

from streams.dev.bench import handlers, load
from streams.jobs.registry import Registry
from streams.kafka.clock import WallClock
from streams.kafka.store import RocksStore
from streams.observe.metrics import WorkerMetrics
from streams.testing.memory import MemoryLog
from streams.wire.envelope import Record, encode
from streams.wire.topics import TopicNames
from streams.worker.engine import Engine, EngineOptions

JOBS = 4_000
BATCH = 500
IN_HAND = 3_000  # as many as a partition has in a worker that is busy
ROUNDS = 3  # the best of them counts: others use the machine too
MOST = 31.0  # times the yardstick: twice of what it was when this was written
MOST_WITH_CONTROL = 2.0  # times a job without: the dearest was at 1.28


class Acknowledged:
    """A source that remembers how far it was acknowledged."""

    def __init__(self) -> None:
        self.watermark = 0
        self.moved = asyncio.Event()

    def release(self, watermark: int) -> None:
        self.watermark = watermark
        self.moved.set()


def records() -> list[Record]:
    name = handlers.Noop.__job_name__
    made = (
        encode(load.job_envelope(name, handlers.QUEUE, n, 1_700_000_000_000)) for n in range(JOBS)
    )
    return [
        Record("jobs.default", 0, n, 1_700_000_000_000, key, value, tuple(headers))
        for n, (key, value, headers) in enumerate(made)
    ]


def yardstick(queue: list[Record]) -> None:
    """What nobody can leave out: read headers, validate a payload, write a line of JSON."""
    for record in queue:
        headers = {name: value.decode() for name, value in record.headers if value is not None}
        handlers.Noop.model_validate_json(record.value or b"")
        orjson.dumps({"id": headers["ce_id"], "state": "completed", "ended": record.timestamp})


async def run_all(queue: list[Record], folder: Path, control: str = "none") -> float:
    """Seconds of CPU for all of them, from arrival to acknowledgement."""
    metrics = WorkerMetrics(names=[handlers.Noop.__job_name__])
    engine = Engine(
        Registry.build([handlers.noop_with(control).__job_definition__], [handlers.QUEUE]),
        EngineOptions(worker="w", names=TopicNames(""), partitions=1),
        log=MemoryLog(WallClock(), 1),  # type: ignore[arg-type]  # of a clock it asks the time
        clock=WallClock(),
        open_store=lambda queue, partition: RocksStore(folder / queue / str(partition)),
        listeners=[metrics.listen],
    )
    source = Acknowledged()
    pipeline = await engine.open_queue(handlers.QUEUE, 0, source, 0)
    began = time.process_time()
    at = 0
    async with asyncio.timeout(120):
        while source.watermark < len(queue):
            while at < len(queue) and at < source.watermark + IN_HAND:
                pipeline.deliver(queue[at : at + BATCH])
                at += BATCH
            source.moved.clear()
            await source.moved.wait()
    took = time.process_time() - began
    await engine.stop()
    return took


def best(measure: Callable[[int], float]) -> float:
    gc.collect()
    gc.freeze()
    try:
        return min(measure(number) for number in range(ROUNDS))
    finally:
        gc.unfreeze()


def test_a_job_costs_no_more_than_a_few_times_what_cannot_be_left_out(tmp_path: Path) -> None:
    queue = records()

    def plain(number: int) -> float:
        began = time.process_time()
        yardstick(queue)
        return time.process_time() - began

    def engine(number: int) -> float:
        return asyncio.run(run_all(queue, tmp_path / str(number)))

    ratio = best(engine) / best(plain)
    print(f"\na job costs {ratio:.1f} times the yardstick")
    assert ratio < MOST


def test_no_flow_control_costs_much_more_than_the_job(tmp_path: Path) -> None:
    queue = records()

    def engine(control: str, number: int) -> float:
        return asyncio.run(run_all(queue, tmp_path / control / str(number), control))

    costs = {control: best(partial(engine, control)) for control in handlers.CONTROLS}
    plain = costs.pop("none")
    print(f"\na job costs {plain / JOBS * 1e6:.1f} us")
    for control, cost in costs.items():
        print(f"  with {control}: {(cost - plain) / JOBS * 1e6:+.1f} us")
    assert max(costs.values()) < MOST_WITH_CONTROL * plain
