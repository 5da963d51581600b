"""A job that ends every process it runs in: it is given up, and what runs beside it is not."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest
from fault_handlers import Step
from fault_oracle import Topics
from fleet import Fleet
from killer_handlers import Beside, Killer
from topics import create_topics

from streams.client import JobClient
from streams.jobs.states import State

pytestmark = pytest.mark.long  # half a minute: a worker is started five times

STARTS = 3  # recorded without an outcome: the job's attempts
DEATHS = STARTS + 1  # the first process knew of no danger, and recorded nothing


async def test_a_job_that_kills_its_process_is_dead_at_last_and_innocent_jobs_complete(
    kafka: str, prefix: str, tmp_path: Path
) -> None:
    await create_topics(kafka, prefix, 1)
    beside, steps = {1, 2, 3}, set(range(1, 10))
    settings = {
        "handlers": "killer_handlers",
        "STREAMS_PARTITIONS": "1",
        "STREAMS_INSTANCE": "worker",  # its successor has its place at once
    }
    async with JobClient(kafka, source="test", prefix=prefix) as client:
        with Fleet(kafka, prefix, tmp_path, **settings) as fleet:
            # given a job that kills its process, among others that run longer than it lives
            await client.enqueue(Killer(n=0), id="0")
            await client.enqueue_many((Beside(n=n) for n in beside), id=lambda job: str(job.n))
            worker = fleet.start("worker")
            # when the worker is started again as often as it ends
            for _ in range(DEATHS):
                assert await worker.ended() == -signal.SIGKILL, worker.log
                worker.start()
            await client.enqueue_many(
                (Step(account=n, n=n) for n in steps), id=lambda job: str(job.n)
            )
            # then all others complete
            jobs = {"beside": beside, "step": steps}
            topics = await Topics.until_settled(kafka, prefix, jobs, fleet.logs, partitions=1)
            assert worker.runs
            assert worker.stop() == 0, worker.log
            found = fleet.lines
    # although some of them ran when processes ended
    for n in beside:
        ran_in = {line[-1] for line in found if line[:4] == ["start", "beside", str(n), str(n)]}
        assert len(ran_in) > 1
    for name, numbers in jobs.items():
        settled = topics.settled(name)
        assert settled.keys() == numbers
        assert {record.state for records in settled.values() for record in records} == {
            State.COMPLETED
        }
    # and the killer is dead, after no more deaths than it has attempts and the first one
    assert sum(line[:2] == ["start", "killer"] for line in found) == DEATHS
    topics = await Topics.read(kafka, prefix, partitions=1)
    assert topics.settled("killer") == {}
    (letter,) = topics.dead
    headers = {name: value.decode() for name, value in letter.headers}
    assert (headers["dead-job"], headers["dead-id"]) == ("killer", "0")
    assert headers["dead-error"] == "WorkerDied"
    assert headers["dead-message"] == (
        f"the worker's process ended {STARTS} times while this job ran"
    )
