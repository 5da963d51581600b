"""Rules of what is counted with state, each broken on purpose."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from streams.jobs.states import State
from streams.wire.envelope import Record
from streams.wire.state import LedgerRecord
from streams.worker.intake import Intake
from streams.worker.recovery import Recovery
from streams.worker.settlement import Settlement
from streams.worker.sums import Sums
from streams.worker.tables import Batch

Patch = pytest.MonkeyPatch


def copies_are_accepted(patch: Patch) -> None:
    """A record of a job that is known counts as another one."""
    admit = Intake.admit

    def admit_all(self: Intake, record: Record, settlement: Settlement, now: int) -> bool:
        is_decided = admit(self, record, settlement, now)
        settlement.copies = 0
        return is_decided

    patch.setattr(Intake, "admit", admit_all)


def expired_is_forgotten(patch: Patch) -> None:
    """What has expired is not counted."""
    end = Sums.end

    def forget(self: Sums, state: State, count: int = 1) -> None:
        if state is not State.EXPIRED:
            end(self, state, count)

    patch.setattr(Sums, "end", forget)


def what_is_no_job_is_accepted(patch: Patch) -> None:
    """What is no job counts as one."""
    bury = Intake._bury

    def bury_as_job(self: Intake, record: Record, why: str, s: Settlement, now: int) -> None:
        bury(self, record, why, s, now)
        s.undecodable = 0

    patch.setattr(Intake, "_bury", bury_as_job)


def recovery_counts_nothing(patch: Patch) -> None:
    """What was settled, and not counted before a crash, never is."""
    patch.setattr(Batch, "count_ending", lambda *_: None)


def recovery_counts_anew(patch: Patch) -> None:
    """What the store has counted is counted again, as on a disk that was lost."""
    begin = Recovery.begin

    async def begin_anew(self: Recovery, log: object, now: int) -> None:
        await begin(self, log, now)  # type: ignore[arg-type]
        batch = self.tables.batch()
        batch.sums = replace(Sums(), since=self.tables.sums.since)
        batch.write()

    patch.setattr(Recovery, "begin", begin_anew)


def what_ends_counts_twice(patch: Patch) -> None:
    """A job that was in the open table is counted as over, and then again."""
    end = Settlement.end

    def end_twice(
        self: Settlement,
        state_key: bytes,
        record: LedgerRecord,
        *,
        was_open: bool,
        lane: bytes | None,
    ) -> None:
        end(self, state_key, record, was_open=was_open, lane=lane)
        if was_open:
            self.ends.append(record.state)

    patch.setattr(Settlement, "end", end_twice)


SUM_CONTROLS: dict[str, Callable[[Patch], None]] = {
    control.__name__: control
    for control in (
        copies_are_accepted,
        expired_is_forgotten,
        what_is_no_job_is_accepted,
        recovery_counts_nothing,
        recovery_counts_anew,
        what_ends_counts_twice,
    )
}
