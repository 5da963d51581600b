"""The states of rows, as numbers, and the words that listings have for several of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from streams.jobs.states import State

UNTOLD: Final = "untold"
"""Of a job that is over without a record of how: its definition has `ledger=False`."""

NAMES: Final = (
    State.QUEUED.value,
    State.SCHEDULED.value,
    State.PARKED.value,
    State.RUNNING.value,
    State.RETRYING.value,
    State.SLEEPING.value,
    State.DEAD.value,
    State.COMPLETED.value,
    State.CANCELLED.value,
    State.DISCARDED.value,
    State.EXPIRED.value,
    UNTOLD,
)
CODES: Final[Mapping[str, int]] = {name: code for code, name in enumerate(NAMES)}

QUEUED: Final = CODES["queued"]
SCHEDULED: Final = CODES["scheduled"]
DEAD: Final = CODES["dead"]
COMPLETED: Final = CODES["completed"]
DISCARDED: Final = CODES["discarded"]
UNTOLD_CODE: Final = CODES[UNTOLD]
FIRST_OVER: Final = COMPLETED  # all from here on are over

GROUPS: Final[Mapping[str, tuple[str, ...]]] = {
    "waiting": ("queued", "parked"),
    "active": ("running",),
    "delayed": ("scheduled", "retrying", "sleeping"),
    "failed": ("dead",),
    "over": ("completed", "cancelled", "discarded", "expired", UNTOLD),
}
"""Words for several states; `completed` and the others mean themselves."""


def codes_of(word: str) -> tuple[int, ...]:
    """The states that a word of a filter means.

    Raises:
        KeyError: it is no word for any.
    """
    return tuple(CODES[name] for name in GROUPS.get(word, (word,)))
