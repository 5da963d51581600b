"""Judges a schedule once nothing moves any more: is everything over, and does all agree?"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from streams.testing.oracle import KILLED_MOST
from streams.testing.watched import OVER, Watched
from streams.testing.workload import UNIQUE_MS

if TYPE_CHECKING:
    from streams.testing.world import World
    from streams.worker.pipeline import Pipeline


def judge(world: World) -> None:
    """Add what does not hold to the oracle's faults."""
    for job in world.oracle.jobs.values():
        _judge_job(world, job)
    world.oracle.purges.judge()
    _judge_letters(world)
    _judge_commits(world)
    for process in world.processes:
        for pipeline in process.worker.engine.queues.values():
            _judge_sums(world, pipeline)


def _judge_job(world: World, job: Watched) -> None:
    fault = world.oracle.fault
    if not job.state:
        fault("safety" if job.arrival < 0 else "liveness", f"{job.id} is nowhere: it was lost")
    elif not job.settled and job.kind == "gathered" and job.n not in world.oracle.gathered:
        pass  # its parent ended before it had sent all of its children
    elif not job.settled:
        fault("liveness", f"{job.id} is still {job.state}")
    elif job.kind == "unknown":
        if job.state != "dead" and not (job.state == "cancelled" and job.was_purged):
            fault("safety", f"{job.id} is {job.state}, and no handler knows it")
    elif job.must_cancel:
        if job.state != "cancelled":
            fault("safety", f"{job.id} is {job.state}, though it was cancelled in time")
    else:
        _judge_ending(world, job)


def _judge_ending(world: World, job: Watched) -> None:
    fault = world.oracle.fault
    least, most = len(job.replays - job.discards), len(job.replays)
    if not least <= job.generation <= most:
        fault("safety", f"{job.id} is of generation {job.generation} after {most} replays")
    allowed = {job.work.ending(job.generation)[0]}
    if job.killed >= KILLED_MOST:
        allowed.add("dead")
    if job.disturbed or job.work.fickle:
        allowed |= {"completed", "discarded", "dead"}
    if job.cancelled or job.was_purged:
        allowed.add("cancelled")
    if job.expires is not None:
        allowed.add("expired")
    if job.generation in job.discards:
        allowed = {"discarded"}
    if job.state not in allowed:
        fault("safety", f"{job.id} is {job.state} instead of {' or '.join(sorted(allowed))}")
    if job.kind in ("keyed", "loose") and job.time != _expected_time(world, job):
        fault("safety", f"{job.id} ended with time {job.time}, of its enqueueings {job.times}")


def _expected_time(world: World, job: Watched) -> int:
    """The last enqueueing that was outside `unique_for` of the end before it."""
    endings = {time: ended for (time, _), ended in world.oracle.ended[job.id].items()}
    current = job.times[0]
    for time in job.times[1:]:
        if current in endings and time >= endings[current] + UNIQUE_MS:
            current = time
    return current


def _judge_letters(world: World) -> None:
    oracle = world.oracle
    standing = Counter(oracle.letters)
    for job in oracle.jobs.values():
        mine = {letter for letter in standing if letter[0] == job.id}
        wanted = {(job.id, job.generation)} if job.state == "dead" else set()
        if wanted - mine:
            oracle.fault("safety", f"{job.id} is dead, and has no letter")
        for _, generation in sorted(mine - wanted):
            oracle.fault("letters", f"{job.id} is {job.state}, and its letter {generation} stands")
    nonsense = {
        f"{topic}/{partition}/{offset}"
        for (topic, partition), jobs in oracle.arrivals.items()
        for offset, job in enumerate(jobs)
        if job is None
    }
    for place in sorted(nonsense ^ oracle.nonsense):
        oracle.fault("safety", f"the letter of {place}, which can't be read, is missing or wrong")


def _judge_commits(world: World) -> None:
    for place in world.coordinator.partitions:
        end = len(world.log.topics[place])
        committed = world.commits.get(place, 0)
        if committed != end:
            world.oracle.fault("liveness", f"{place} is committed to {committed}, it ends at {end}")


def _judge_sums(world: World, pipeline: Pipeline) -> None:
    """What its owner counted adds up, and is what the oracle counted."""
    where, sums = (pipeline.place.topic, pipeline.place.partition), pipeline.tables.sums
    counted = {state: getattr(sums, state) for state in sorted(OVER)}
    wanted = {state: world.oracle.overs[(where, state)] for state in sorted(OVER)}
    if counted != wanted:
        world.oracle.fault("sums", f"{where} has counted {counted}, and there are {wanted}")
    accepted = sum(wanted.values()) + pipeline.tables.counts.entries
    if sums.accepted != accepted:
        world.oracle.fault("sums", f"{where} has counted {sums.accepted} accepted, not {accepted}")
