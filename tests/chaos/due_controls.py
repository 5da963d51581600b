"""Rules of due times, each broken on purpose: the simulator must find every one of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from streams.wire.commands import Command
from streams.wire.state import OpenEntry
from streams.worker.commands import Commands
from streams.worker.due_rows import DueRows
from streams.worker.settlement import Settlement

Patch = pytest.MonkeyPatch


def forgotten_before_its_job_was_read(patch: Patch) -> None:
    """Another time that was given before the job was read is not kept for it."""
    patch.setattr(Commands, "rescheduled_ahead", lambda self, job, offset: None)


def told_to_nobody(patch: Patch) -> None:
    """A new time is written, and what waits for the next one is not woken."""
    patch.setattr(DueRows, "note", lambda self, row: None)


def early(patch: Patch) -> None:
    """What is due within a second is started as well."""
    reschedule = Commands._reschedule

    def hasty(
        self: Commands, command: Command, entry: OpenEntry, offset: int, settlement: Settlement
    ) -> None:
        reschedule(self, replace(command, due=command.due - 1_000), entry, offset, settlement)

    patch.setattr(Commands, "_reschedule", hasty)


DUE_CONTROLS: dict[str, Callable[[Patch], None]] = {
    control.__name__: control
    for control in (
        forgotten_before_its_job_was_read,
        told_to_nobody,
        early,
    )
}
