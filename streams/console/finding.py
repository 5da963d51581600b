"""The one job that a call means."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from streams.console import views
from streams.console.console import Console
from streams.console.problems import Problem
from streams.console.story import read_story
from streams.console.which import Which, how_to_choose
from streams.projection.job import Job
from streams.projection.states import DISCARDED

_LOOKED_AT: Final = 20  # jobs with one id; of more, whoever asks has to say which


async def one(console: Console, which: Which) -> Job:
    """The one job that is meant.

    Raises:
        BrokerUnavailable: Kafka did not say in time which of several went on as another one.
        Problem: there is none, or more than one.
    """
    jobs = await console.find(which)
    if not jobs:
        raise Problem(404, f"there is no job {which.told()}")
    left = [job for job in jobs if not await _went_on(console, job, jobs)]
    if len(left) == 1:
        return left[0]
    raise Problem(
        409,
        f"{len(jobs)} jobs have the id {which.id}: {how_to_choose(jobs)}",
        candidates=[views.job(job) for job in jobs],
    )


async def _went_on(console: Console, job: Job, among: Sequence[Job]) -> bool:
    """Whether a job was sent to where another one of these is."""
    if not 1 < len(among) <= _LOOKED_AT or job.row.state != DISCARDED:
        return False
    story = await read_story(console, job)
    ledger = None if story is None else story.ledger
    return ledger is not None and any(
        ledger.was_sent_to(other.queue, other.name) for other in among if other is not job
    )
