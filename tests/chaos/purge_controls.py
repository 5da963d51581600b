"""Rules of purges, each broken on purpose: the simulator must find every one of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from streams.jobs.identity import JobKey
from streams.wire.state import OpenEntry
from streams.worker.ending import Ending
from streams.worker.pipeline import Pipeline
from streams.worker.purge import Purges, _Purge

Patch = pytest.MonkeyPatch


def obeyed_when_it_begins(patch: Patch) -> None:
    """It is noted as obeyed before all of it is done, so that a crash loses the rest."""
    patch.setattr(Purges, "kept", property(lambda self: []))


def known_in_its_turn(patch: Patch) -> None:
    """Who opens a partition starts what is open, and reads the commands then."""
    patch.setattr(Pipeline, "foresee", lambda self, purges: None)


def forgotten_before_all_was_read(patch: Patch) -> None:
    """It is done when the open table is, whatever is in the queue still."""
    go_on = Purges.go_on

    def forget(self: Purges, *turn: Any) -> None:
        go_on(self, *turn)
        self._purges = [purge for purge in self._purges if not purge.is_through]

    patch.setattr(Purges, "go_on", forget)


def not_looked_at_in_hand(patch: Patch) -> None:
    """What is in hand and waits for its key or its slot goes on."""
    patch.setattr(_Purge, "ends_in_hand", lambda self, attempt: False)


def not_looked_at_before_the_start(patch: Patch) -> None:
    """What comes due before the sweep has come to it starts."""
    patch.setattr(Purges, "end_before_start", lambda self, *_: False)


def meant_though_it_came_later(patch: Patch) -> None:
    """It ends what is in the queue when it is read."""
    covers = _Purge.covers

    def at_any_offset(self: _Purge, job: JobKey, arrival: int, sent: int) -> bool:
        return covers(self, job, 0, sent)

    patch.setattr(_Purge, "covers", at_any_offset)


def meant_though_it_was_sent_later(patch: Patch) -> None:
    """An event ends what was sent after it."""
    covers = _Purge.covers

    def sent_at_any_time(self: _Purge, job: JobKey, arrival: int, sent: int) -> bool:
        return covers(self, job, arrival, 0)

    patch.setattr(_Purge, "covers", sent_at_any_time)


def meant_though_it_has_run(patch: Patch) -> None:
    """It ends what is known to have run when its worker died."""
    ends_as(patch, is_supposed=True)


def meant_though_it_was_replayed_later(patch: Patch) -> None:
    """It ends a dead job that was replayed after it."""
    ends_as(patch, commanded=-1)


def ends_as(patch: Patch, **changes: Any) -> None:
    """Entries are taken for something else."""
    ends = _Purge.ends

    def ends_it(self: _Purge, entry: OpenEntry) -> bool:
        return ends(self, replace(entry, **changes))

    patch.setattr(_Purge, "ends", ends_it)


def obeyed_while_a_job_unwinds(patch: Patch) -> None:
    """A command that interrupts is noted as obeyed though a job that it ends is not over."""
    patch.setattr(Ending, "kept", lambda self: [])


PURGE_CONTROLS: dict[str, Callable[[Patch], None]] = {
    control.__name__: control
    for control in (
        obeyed_when_it_begins,
        known_in_its_turn,
        forgotten_before_all_was_read,
        not_looked_at_in_hand,
        not_looked_at_before_the_start,
        meant_though_it_came_later,
        meant_though_it_was_sent_later,
        meant_though_it_has_run,
        meant_though_it_was_replayed_later,
        obeyed_while_a_job_unwinds,
    )
}
