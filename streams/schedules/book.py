"""All schedules that there are: of the code, added at run time, elsewhere, and retired. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from streams.cron.ticks import next_tick
from streams.jobs.registry import Registry
from streams.wire.schedules import (
    ADDED,
    PAUSED,
    TICKED,
    Halt,
    Ticked,
    decode_added,
    decode_halt,
    decode_ticked,
)
from streams.worker.control import Control
from streams.worker.schedules import (
    AHEAD_MS,
    Planned,
    decoded,
    planned_at_run_time,
    planned_in_code,
)

Origin = Literal["code", "added", "elsewhere", "retired"]
State = Literal["active", "ahead", "paused", "ended", "elsewhere", "retired"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """One schedule."""

    name: str
    origin: Origin
    queue: str
    planned: Planned | None  # None: no handler here has it, so that its times are not known
    ticked: Ticked | None  # None: no worker has seen it yet
    halt: Halt | None

    @property
    def pause(self) -> Halt | None:
        """The pause that it is in."""
        return self.halt if self.halt is not None and self.halt.is_paused else None

    def state(self, now: int) -> State:
        """What becomes of it after `now` (ms since the epoch)."""
        if self.planned is None:
            if self.origin == "retired":
                return "retired"
            return "elsewhere" if self.pause is None else "paused"
        if next_tick(self.planned.schedule, now) is None:
            return "ended"
        if self.pause is not None:
            return "paused"
        is_ahead = self.ticked is not None and self.ticked.last > now + AHEAD_MS
        return "ahead" if is_ahead else "active"

    def last_tick(self) -> int | None:
        """The last tick that was decided (ms since the epoch), if the record is of a tick."""
        if self.ticked is None or not (self.ticked.fired or self.ticked.missed):
            return None
        last = self.ticked.last
        # It may also be the time since which it is known, or goes on after a pause.
        is_tick = self.planned is None or next_tick(self.planned.schedule, last - 1) == last
        return last if is_tick else None


def read_book(registry: Registry, control: Control) -> dict[str, Known]:
    """All of them by name, in the order of names.

    `registry` has the handlers that are known here. A schedule that none of them has is retired
    once its worker has noted that, and elsewhere until then.
    """
    ticked = decoded(control.named(TICKED), decode_ticked)
    halts = decoded(control.named(PAUSED), decode_halt)
    found: dict[str, Known] = {}

    def note(name: str, origin: Origin, queue: str, planned: Planned | None) -> None:
        found.setdefault(
            name,
            Known(
                name=name,
                origin=origin,
                queue=queue,
                planned=planned,
                ticked=ticked.get(name),
                halt=halts.get(name),
            ),
        )

    for definition in registry.definitions():
        if (planned := planned_in_code(definition)) is not None:
            note(planned.name, "code", planned.queue, planned)
    for name, added in decoded(control.named(ADDED), decode_added).items():
        note(name, "added", added.queue, planned_at_run_time(name, added))
    for name, told in ticked.items():
        if told.is_added:  # it was removed, and its worker has not seen that yet
            continue
        note(name, "elsewhere" if told.gone is None else "retired", told.queue, None)
    return dict(sorted(found.items()))
