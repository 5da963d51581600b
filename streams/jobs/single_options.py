"""From `throttle`, `debounce` and `unique` to what they ask for, and what contradicts it. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from streams.contracts import Event, JobPayload
from streams.durations import Duration, format_ms, to_ms
from streams.jobs.single import Debounce, Kind, SingleRule, Unique

if TYPE_CHECKING:
    from streams.jobs.definition import JobDefinition

Contract = type[Event] | type[JobPayload]


def single_rule(
    kind: Contract,
    mistakes: list[str],
    *,
    is_plain: bool,
    ledger: bool,
    throttle: Duration | None,
    debounce: Duration | Debounce | None,
    unique: Unique | None,
) -> SingleRule | None:
    """What these options ask for; `mistakes` gets a line for each that does not fit."""
    given = {"throttle": throttle, "debounce": debounce, "unique": unique}
    options = [option for option, value in given.items() if value is not None]
    found = len(mistakes)
    if len(options) > 1:
        mistakes.append(
            f"{' and '.join(options)} contradict each other in which one of several jobs runs (the "
            "first one, the last one, the one that is there): write one of them"
        )
    where = "give key=... here" if is_plain else 'name one in the contract (key="...")'
    rule = None
    if throttle is not None:
        rule = SingleRule(kind=Kind.THROTTLE, ms=_milliseconds("throttle", throttle, mistakes))
    if debounce is not None:
        rule = _debounce(debounce, mistakes)
    if unique is not None:
        rule = _unique(unique, kind, where, mistakes)
    for option in options:
        if kind.__key__ is None and not (rule and rule.fields):
            mistakes.append(f"{option} needs a key, for which it lets one job run: {where}")
    if rule is not None and rule.remembered_ms and not ledger:
        mistakes.append(
            f"{_written(rule)} counts from a job that may be over, and ledger=False keeps no "
            "record of it: leave one of them out"
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
            f"{_written(rule)} is {format_ms(rule.remembered_ms)}, but the ledger is kept for "
            f"{format_ms(ledger_kept_ms)}: shorten it, or raise STREAMS_LEDGER_KEPT"
        )
    if definition.expires_ms is not None and rule.waits_ms >= definition.expires_ms:
        mistakes.append(
            f"debounce lets a job wait for {format_ms(rule.waits_ms)}, but it expires after "
            f"{format_ms(definition.expires_ms)}: shorten the one, or lengthen expires"
        )
    return mistakes


def _written(rule: SingleRule) -> str:
    return "throttle" if rule.kind is Kind.THROTTLE else "unique: for_"


def _debounce(given: Duration | Debounce, mistakes: list[str]) -> SingleRule:
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


def _unique(unique: Any, kind: Contract, where: str, mistakes: list[str]) -> SingleRule | None:
    if not isinstance(unique, Unique):
        mistakes.append(f'unique={unique!r}: write unique=Unique(by="key")')
        return None
    if unique.until not in ("started", "over"):
        mistakes.append(f'unique: until={unique.until!r}: write "started" or "over"')
    for_ms = 0
    if unique.for_ is not None:
        for_ms = _milliseconds("unique: for_", unique.for_, mistakes)
        if unique.until == "started":
            mistakes.append(
                'unique: for_ counts from the end of a job, and until="started" ends before it: '
                "leave one of them out"
            )
    return SingleRule(
        kind=Kind.UNTIL_STARTED if unique.until == "started" else Kind.UNTIL_OVER,
        ms=for_ms,
        fields=_fields(unique.by, kind, where, mistakes),
    )


def _fields(by: Any, kind: Contract, where: str, mistakes: list[str]) -> tuple[str, ...]:
    """The fields that are the same in jobs that are alike; none if it is their key alone."""
    if by == "key":
        return ()
    if isinstance(by, str) or not by or not all(isinstance(name, str) for name in by):
        mistakes.append(
            f'unique: by={by!r}: write by="key", or the names of fields, as in by=("account_id",)'
        )
        return ()
    fields = tuple(by)
    known = ", ".join(kind.model_fields) or "none"
    unknown = [name for name in fields if name not in kind.model_fields]
    mistakes += [f"unique: {kind.__name__} has no field {name!r} ({known})" for name in unknown]
    if not unknown and kind.__key__ not in fields:
        names = ", ".join(repr(name) for name in fields)
        mistakes.append(
            f"unique by {names} needs a key that is one of these, or jobs that are the same come "
            f"to different partitions: {where}, or add the key's field to by="
        )
    return fields


def _milliseconds(option: str, given: Duration, mistakes: list[str]) -> int:
    try:
        ms = to_ms(given)
    except (ValueError, TypeError) as error:
        mistakes.append(f"{option}: {error}")
        return 0
    if not ms:
        mistakes.append(f'{option}={given!r} must be longer than nothing: write "5s", or leave it')
    return ms
