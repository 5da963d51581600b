"""Jobs in hand of which others like them are not to run; those in state are in an index there."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from streams.jobs.identity import JobKey
from streams.jobs.single import Kind
from streams.wire.single import Single
from streams.worker.attempt import Attempt
from streams.worker.single_index import Mark


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


def why_dropped(kind: Kind, because_of: Mark | None) -> str:
    """For people: who made it so."""
    assert because_of is not None
    other = JobKey.decode(because_of.state_key)
    match kind:
        case Kind.THROTTLE:
            return f"throttled: {other.id} of this key came first"


def mark_of(attempt: Attempt, single: Single) -> Mark | None:
    """How a job in hand counts; None: it does not."""
    assert single.until is not None
    return Mark(state_key=attempt.state_key, arrival=single.arrival, until=single.until)
