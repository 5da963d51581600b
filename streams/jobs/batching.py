"""Handlers that take many jobs in one call: how many, how long to wait for them, whose. Pure."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from streams.durations import Duration, to_ms
from streams.jobs.context import JobContext

SIZE_MAX: Final = 1_000
WAIT_MAX_MS: Final = 60_000


@dataclass(frozen=True, slots=True)
class Batch:
    """The handler gets a list: up to `size` jobs, or what came within `wait` of the first one.

    `Batch(100, wait="1s")`, over all keys that this worker has; `by="key"`: of one ordering key.
    """

    size: int
    wait: Duration = field(default="1s", kw_only=True)
    by: Literal["key"] | None = field(default=None, kw_only=True)

    @property
    def wait_ms(self) -> int:
        """How long the first one waits, in milliseconds."""
        return to_ms(self.wait)


class BatchContext:
    """One call for many jobs, seen from its handler. Times are milliseconds since the epoch."""

    _interrupted: str | None = None

    def __init__(
        self, *, name: str, jobs: Sequence[JobContext], started: int, deadline: int
    ) -> None:
        self.name = name
        self.jobs = tuple(jobs)  # each job's own context, in the order of the payloads
        self.started = started
        self.deadline = deadline

    @property
    def shadow(self) -> bool:
        """See `JobContext`: whether the call is to have no effect."""
        return any(each.shadow for each in self.jobs)

    def raise_if_cancelled(self) -> None:
        """Stop here if the call is over: past its timeout, or all of its jobs are cancelled.

        Raises:
            asyncio.CancelledError: it is; `except Exception` does not catch that.
        """
        if self._interrupted is not None:
            raise asyncio.CancelledError(self._interrupted)

    def interrupt(self, why: str) -> None:
        """The call is over; for the engine."""
        self._interrupted = why
        for each in self.jobs:
            each.interrupt(why)


def batch_mistakes(
    batch: Any,
    *,
    is_keyed: bool,
    runs_in: str,
    fair_by: str | None,
    key_concurrency: int | None,
    is_rated_by_key: bool,
) -> list[str]:
    """What does not fit in a batch, or beside it, a line for each."""
    if not isinstance(batch, Batch):
        return [f'batch={batch!r}: write batch=Batch(100, wait="1s")']
    mistakes = []
    if type(batch.size) is not int or not 2 <= batch.size <= SIZE_MAX:
        mistakes.append(f"batch: size={batch.size!r} is no number from 2 to {SIZE_MAX}")
    try:
        wait_ms = batch.wait_ms
    except (ValueError, TypeError) as error:
        mistakes.append(f"batch: wait={batch.wait!r}: {error}")
    else:
        if not 0 < wait_ms <= WAIT_MAX_MS:
            mistakes.append(f'batch: wait={batch.wait!r} is not longer than nothing, up to "1m"')
    if batch.by not in (None, "key"):
        mistakes.append(f'batch: by={batch.by!r}: write by="key", or leave it out')
    if batch.by == "key" and not is_keyed:
        mistakes.append('batch: by="key" needs a key: name one in the contract (key="...")')
    if runs_in == "process":
        mistakes.append('batch needs the loop or a thread: leave runs_in="process" out')
    for option, is_there in (
        ("fair_by", fair_by is not None),
        ("key_concurrency", key_concurrency is not None),
        ('rate_limit=RateLimit(..., by="key")', is_rated_by_key),
    ):
        if is_there:
            mistakes.append(f"batch and {option}: one call is for jobs of several; leave one out")
    return mistakes
