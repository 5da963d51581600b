"""Jobs in hand of which others like them are not to run; those in state are in an index there."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from streams.jobs.identity import JobKey
from streams.jobs.single import Kind, SingleRule
from streams.wire.single import Single
from streams.worker.attempt import Attempt
from streams.worker.single_index import Mark, mark_of_state


class Singles:
    """By scope; of a job that is not in hand nothing stays here.

    After a crash what was in hand comes again in the order of its arrival, and is decided as
    before: no job counts for one that came before it.
    """

    def __init__(self) -> None:
        self._held: dict[str, dict[bytes, Attempt]] = {}

    def __len__(self) -> int:
        return len(self._held)

    def of(self, scope: str) -> Collection[Attempt]:
        """Those in hand that share it."""
        held = self._held.get(scope)
        return held.values() if held else ()

    def put(self, attempt: Attempt) -> None:
        """A job came into hand."""
        if attempt.single is not None:
            self._held.setdefault(attempt.single.scope, {})[attempt.state_key] = attempt

    def drop(self, attempt: Attempt) -> None:
        """It is not in hand any more."""
        if attempt.single is None:
            return
        held = self._held[attempt.single.scope]
        del held[attempt.state_key]
        if not held:
            del self._held[attempt.single.scope]


def first_like(marks: Iterable[Mark], *, arrival: int, sent: int) -> Mark | None:
    """The job because of which one that came at `arrival` is not to run. Pure.

    It came before: after a crash, what came later may be over, and what comes again may not
    give way to it. And it counts still for what was `sent` then.
    """
    return next((m for m in marks if m.arrival < arrival and sent < m.until), None)


def why_dropped(kind: Kind, other: JobKey, *, is_tick: bool = False) -> str:
    """For people: who made it so. Ticks are not the same, they overlap."""
    if is_tick:
        return f"overlap: the run before it, {other.id}, is still open"
    match kind:
        case Kind.THROTTLE:
            return f"throttled: {other.id} of this key came first"
        case Kind.DEBOUNCE:
            return f"debounced: {other.id} came after it"
        case Kind.UNTIL_STARTED | Kind.UNTIL_OVER:
            return f"unique: {other.id} is the same"


def mark_of(attempt: Attempt, single: Single) -> Mark | None:
    """How a job in hand counts; None: it does not."""
    match single.kind:
        case Kind.THROTTLE:
            return mark_of_state(single, attempt.state_key)
        case Kind.DEBOUNCE:
            return None  # it is on its way to run: what comes now begins a new burst
        case Kind.UNTIL_STARTED if attempt.started is not None or attempt.run or attempt.used:
            return None
        case Kind.UNTIL_STARTED | Kind.UNTIL_OVER:
            return mark_of_state(single, attempt.state_key)


def burst_of(
    rule: SingleRule, waiting: Iterable[Single], *, sent: int, not_before: int | None
) -> tuple[int, int]:
    """When the burst of a debounced job began, and when the job is due. Pure.

    `waiting` are those of its key which had not been due when it was sent: it takes their place.
    """
    since = min((one.since for one in waiting), default=sent)
    due = sent + rule.ms
    if rule.at_most_ms is not None:
        due = min(due, since + rule.at_most_ms)
    return since, max(due, not_before or 0)
