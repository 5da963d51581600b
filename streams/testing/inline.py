"""Handlers of processes, run in-line: no process is started, and no thread."""

from __future__ import annotations

from collections.abc import Callable

from streams.jobs.context import JobContext
from streams.jobs.notes import Says
from streams.jobs.outcome import Outcome
from streams.worker.attempt import Attempt
from streams.worker.executor import overran
from streams.worker.noted import AttemptSays
from streams.worker.plain_run import run_plainly
from streams.worker.ports import Clock


class _InlineSays:
    """What an in-line handler says. Its checkpoints are written once it lets others go on."""

    def __init__(self, says: Says) -> None:
        self._says = says
        self.checkpointed = says.checkpointed
        self.progress = says.progress
        self.line = says.line

    async def checkpoint(self, value: str) -> None:
        """See `Says.checkpoint`; nothing can be written while virtual time stands still."""
        assert isinstance(self._says, AttemptSays)
        self._says.hold(value)
        self.checkpointed = value


class InlineProcesses:
    """Runs one handler at a time, with all of virtual time standing still.

    A handler that moves the clock itself past its deadline has overrun its timeout; one that never
    returns is not interrupted.
    """

    problem: str | None = None

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    def attach(self, add_slots: Callable[[int], None]) -> None:
        """There is one slot."""
        add_slots(1)

    def start(self) -> None:
        """It is ready."""

    async def stop(self) -> None:
        """Nothing is left behind."""

    async def run(self, attempt: Attempt, context: JobContext) -> Outcome:
        """Call the handler, from the payload's bytes, as a process does."""
        payload = attempt.envelope.payload
        context.says = _InlineSays(context.says)
        outcome = run_plainly(attempt.definition, payload, context, attempt.retry)
        if self._clock.now() >= context.deadline:
            raise TimeoutError(overran(attempt))
        return outcome
