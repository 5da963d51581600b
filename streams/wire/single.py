"""What is kept with a job of which others like it are not to run: whose place it has, how long."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final

from streams.jobs.single import Kind
from streams.jobs.states import State
from streams.values import immutable

FOREVER: Final = 2**63 - 1


@immutable(frozen=True, slots=True, kw_only=True)
class Single:
    """One of those that are alike; times in milliseconds since the epoch, as the broker's."""

    scope: str  # what they share
    kind: Kind
    arrival: int  # the offset at which it came: it counts for those that came later
    since: int = 0  # debounced: when the first one of its burst was sent
    for_ms: int = 0  # how long it counts after its end
    until: int | None = None  # for those that were sent before; None: as long as it is open


def plain_single(single: Single | None) -> dict[str, Any]:
    """The field of that name, if there is anything to keep in it."""
    if single is None:
        return {}
    return {
        "single": [
            single.scope,
            single.kind.value,
            single.arrival,
            single.until,
            single.since,
            single.for_ms,
        ]
    }


def read_single(row: list[Any] | None) -> Single | None:
    """What `plain_single` made.

    Raises:
        ValueError: it is something else.
    """
    if row is None:
        return None
    scope, kind, arrival, until, since, for_ms = row
    numbers = (arrival, since, for_ms, 0 if until is None else until)
    if type(scope) is not str or not all(type(n) is int and 0 <= n <= FOREVER for n in numbers):
        raise ValueError(f"not what is alike: {row!r}"[:200])
    scope.encode()
    return Single(
        scope=scope, kind=Kind(kind), arrival=arrival, until=until, since=since, for_ms=for_ms
    )


def while_open(
    single: Single, *, state: State, generation: int, run: int, attempts: int
) -> Single | None:
    """How an open job counts for those that come; None: it does not."""
    match single.kind:
        case Kind.THROTTLE:
            return single
        case Kind.DEBOUNCE:
            is_waiting = state is State.SCHEDULED and not (generation or run or attempts)
            return single if is_waiting else None
        case Kind.UNTIL_STARTED:
            has_started = state in (State.RUNNING, State.DEAD) or run or attempts
            return None if has_started else single
        case Kind.UNTIL_OVER:
            # A dead one may wait for ever to be replayed, and would hold up all others until then.
            return None if state is State.DEAD else single


def once_over(single: Single | None, *, ran: bool, was_dead: bool, ended: int) -> Single | None:
    """How a job counts that is over; None: it does not.

    One that ended without having run holds nobody up: it was cancelled, or expired.
    """
    if single is None or not ran:
        return None
    match single.kind:
        case Kind.THROTTLE:
            return single
        case Kind.UNTIL_OVER if single.for_ms and not was_dead:
            return replace(single, until=ended + single.for_ms)
        case _:
            return None
