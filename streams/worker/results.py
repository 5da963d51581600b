"""What a handler took and returned, as JSON: payloads that do not fit, results within bounds."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import os
from typing import Any, Final

from pydantic import BaseModel, ValidationError

from streams.jobs.as_json import as_json
from streams.jobs.outcome import Completed, Failure, StoredResult
from streams.sensitive import mistake_in
from streams.wire.objects import RESULTS, Objects
from streams.worker.attempt import Attempt
from streams.worker.ports import Clock

logger = logging.getLogger(__name__)

RESULT_MAX: Final = 64 * 1024  # bytes of JSON kept with a job; more is kept elsewhere
STORED_MAX: Final = 64 * 1024 * 1024  # bytes of JSON kept elsewhere
SWEEP_MS: Final = 60 * 60 * 1000


def dumped(result: Any) -> bytes | None:
    """What a handler returned, as JSON; None stays None.

    Raises:
        TypeError: a part of it can't be; the message names it.
    """
    return None if result is None else as_json(result, "result")


class Results:
    """Keeps the results of one worker's jobs: small ones with the job, large ones as objects."""

    def __init__(self, objects: Objects | None, stored_max: int = STORED_MAX) -> None:
        self._objects = objects
        self._stored_max = stored_max

    async def keep(self, attempt: Attempt, result: bytes | None) -> Completed:
        """The outcome of a handler that returned this; a large one is durable on return.

        Raises:
            ValueError: it is too large to be kept.
            OSError: object storage is not to be reached.
        """
        if result is None or len(result) <= RESULT_MAX:
            return Completed(result)
        limit = RESULT_MAX if self._objects is None else self._stored_max
        if self._objects is None or len(result) > limit:
            raise ValueError(
                f"the result has {len(result)} bytes, the limit is {limit}: "
                "store it elsewhere and return a reference"
            )
        path = _path(attempt)
        await self._objects.put(path, result)
        return Completed(None, StoredResult(path=path, size=len(result)))

    async def run(self, clock: Clock, kept_ms: int) -> None:
        """Remove every hour what is older than the ledger, which alone knows of it."""
        while self._objects is not None:
            over = asyncio.Event()
            alarm = clock.call_at(clock.now() + SWEEP_MS, over.set)
            try:
                await over.wait()
            finally:
                alarm.cancel()
            await self.sweep(clock.now() - kept_ms)

    async def sweep(self, before: int) -> None:
        """Remove what was kept before this time; what can't be done now is done later."""
        if self._objects is None:
            return
        try:
            await self._objects.sweep(RESULTS, before)
        except OSError as error:
            logger.warning("removing old results failed: %s; trying again later", error)


def _path(attempt: Attempt) -> str:
    """Of this attempt alone: what one that is over still writes must replace nobody's result."""
    digest = hashlib.sha256(attempt.state_key).hexdigest()[:40]
    return f"{RESULTS}{digest}-{attempt.envelope.time}-{os.urandom(6).hex()}.json"


def misfit(contract: type[BaseModel], error: ValidationError) -> Failure:
    """Why a payload does not fit its contract, with the field."""
    field, why = mistake_in(contract, error)
    return Failure(type="PayloadInvalid", message=f"{field or 'payload'}: {why}", trace="")
