"""Of jobs that are alike one runs, the others are dropped: how a definition asks for that. Pure."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from streams.contracts import Event, JobPayload
from streams.jobs.durations import Duration, format_ms, to_ms

if TYPE_CHECKING:
    from streams.jobs.definition import JobDefinition


class Kind(StrEnum):
    """Which one of those that are alike runs."""

    THROTTLE = "throttle"  # the first one in a while


@dataclass(frozen=True, slots=True, kw_only=True)
class SingleRule:
    """What a definition asks for; durations in milliseconds."""

    kind: Kind
    ms: int  # the period of a throttle

    @property
    def option(self) -> str:
        """As it is written, for messages."""
        return "throttle"

    @property
    def remembered_ms(self) -> int:
        """For how long what is over counts: the ledger must be kept at least as long."""
        return self.ms

    def scope(
        self, name: str, key: str, payload_type: type[Event] | type[JobPayload], payload: bytes
    ) -> str | None:
        """What two jobs share that are alike; None: it is like no other.

        The key is part of it, so that those that are alike are in the same partition.
        """
        alike: list[Any] = [name, self.kind, key]
        return hashlib.sha256(json.dumps(alike).encode()).hexdigest()[:24]


def single_rule(
    kind: type[Event] | type[JobPayload],
    mistakes: list[str],
    *,
    is_plain: bool,
    ledger: bool,
    throttle: Duration | None,
) -> SingleRule | None:
    """What these options ask for; `mistakes` gets a line for each that does not fit."""
    where = "give key=... here" if is_plain else 'name one in the contract (key="...")'
    found = len(mistakes)
    rule = None
    if throttle is not None:
        ms = _milliseconds("throttle", throttle, mistakes)
        if kind.__key__ is None:
            mistakes.append(f"throttle needs a key, of which it lets one job run: {where}")
        rule = SingleRule(kind=Kind.THROTTLE, ms=ms)
        if not ledger:
            mistakes.append(
                "throttle counts from a job that may be over, and ledger=False keeps no record of "
                "it: leave one of them out"
            )
    return rule if len(mistakes) == found else None


def single_contradictions(definition: JobDefinition, ledger_kept_ms: int) -> list[str]:
    """What contradicts its other options, or the worker's settings, once these are decided."""
    rule = definition.single
    if rule is None:
        return []
    mistakes = []
    if rule.remembered_ms > ledger_kept_ms:
        mistakes.append(
            f"{rule.option} is {format_ms(rule.remembered_ms)}, but the ledger is kept for "
            f"{format_ms(ledger_kept_ms)}: shorten it, or raise STREAMS_LEDGER_KEPT"
        )
    return mistakes


def _milliseconds(option: str, given: Duration, mistakes: list[str]) -> int:
    try:
        ms = to_ms(given)
    except (ValueError, TypeError) as error:
        mistakes.append(f"{option}: {error}")
        return 0
    if not ms:
        mistakes.append(f'{option}={given!r} must be longer than nothing: write "5s", or leave it')
    return ms
