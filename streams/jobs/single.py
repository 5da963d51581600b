"""Of jobs that are alike one runs, the others are dropped: how a definition asks for that. Pure."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from streams.contracts import Event, JobPayload
from streams.jobs.durations import Duration, format_ms, to_ms

if TYPE_CHECKING:
    from streams.jobs.definition import JobDefinition


class Kind(StrEnum):
    """Which one of those that are alike runs."""

    THROTTLE = "throttle"  # the first one in a while
    DEBOUNCE = "debounce"  # the last one, once no other has come for a while


@dataclass(frozen=True, slots=True)
class Debounce:
    """Of a burst for a key the last job runs, as in `Debounce("5s", at_most="1m")`.

    Once no other has come for `quiet`, and no later than `at_most` after the burst's first one.
    """

    quiet: Duration
    at_most: Duration | None = field(default=None, kw_only=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class SingleRule:
    """What a definition asks for; durations in milliseconds."""

    kind: Kind
    ms: int  # the period of a throttle, the quiet of a debounce
    at_most_ms: int | None = None  # of a debounce, after the first one of a burst

    @property
    def option(self) -> str:
        """As it is written, for messages."""
        return self.kind.value

    @property
    def remembered_ms(self) -> int:
        """For how long what is over counts: the ledger must be kept at least as long."""
        return self.ms if self.kind is Kind.THROTTLE else 0

    @property
    def waits_ms(self) -> int:
        """How long the last one of a burst may have to wait, counted from its first one."""
        if self.kind is not Kind.DEBOUNCE:
            return 0
        return self.ms if self.at_most_ms is None else self.at_most_ms

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
    debounce: Duration | Debounce | None,
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
    if debounce is not None:
        if throttle is not None:
            mistakes.append(
                "throttle lets the first one run, and debounce the last one: write one of them"
            )
        if kind.__key__ is None:
            mistakes.append(f"debounce needs a key, of whose burst one job runs: {where}")
        rule = _debounce_rule(debounce, mistakes)
    return rule if len(mistakes) == found else None


def _debounce_rule(given: Duration | Debounce, mistakes: list[str]) -> SingleRule:
    debounce = given if isinstance(given, Debounce) else Debounce(given)
    quiet = _milliseconds("debounce", debounce.quiet, mistakes)
    at_most = None
    if debounce.at_most is not None:
        at_most = _milliseconds("debounce: at_most", debounce.at_most, mistakes)
        if at_most < quiet:
            mistakes.append(
                f"debounce: at_most={debounce.at_most!r} is less than the {format_ms(quiet)} that "
                "each one waits: write more, or leave it out"
            )
    return SingleRule(kind=Kind.DEBOUNCE, ms=quiet, at_most_ms=at_most)


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
    if definition.expires_ms is not None and rule.waits_ms >= definition.expires_ms:
        mistakes.append(
            f"debounce lets a job wait for {format_ms(rule.waits_ms)}, but it expires after "
            f"{format_ms(definition.expires_ms)}: shorten the one, or lengthen expires"
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
