"""What one job overrides of its definition, as JSON in the header `ce_options`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import orjson

from streams.durations import to_ms
from streams.errors import UndecodableRecord
from streams.jobs.retry import Exponential, Fixed


@dataclass(frozen=True, slots=True, kw_only=True)
class JobOverrides:
    """What one job does differently; None leaves the definition's value."""

    attempts: int | None = None
    timeout_ms: int | None = None
    backoff: Exponential | Fixed | None = None
    replaces_dead: bool = False  # a dead one with its id is discarded, and it runs


def encode_overrides(overrides: JobOverrides) -> bytes:
    """JSON with the fields that are set."""
    fields: dict[str, Any] = {}
    if overrides.attempts is not None:
        fields["attempts"] = overrides.attempts
    if overrides.timeout_ms is not None:
        fields["timeout_ms"] = overrides.timeout_ms
    if isinstance(overrides.backoff, Fixed):
        fields["backoff"] = {"kind": "fixed", "delay_ms": to_ms(overrides.backoff.delay)}
    elif overrides.backoff is not None:
        fields["backoff"] = {
            "kind": "exponential",
            "base_ms": to_ms(overrides.backoff.base),
            "factor": overrides.backoff.factor,
            "cap_ms": to_ms(overrides.backoff.cap),
            "jitter": overrides.backoff.jitter,
        }
    if overrides.replaces_dead:
        fields["on_dead_id"] = "replace"
    return orjson.dumps(fields)


def decode_overrides(text: str) -> JobOverrides:
    """What `encode_overrides` wrote; unknown fields are left alone.

    Raises:
        UndecodableRecord: not that.
    """
    try:
        fields = orjson.loads(text)
        return JobOverrides(
            attempts=_positive(fields.get("attempts")),
            timeout_ms=_positive(fields.get("timeout_ms")),
            backoff=_backoff(fields.get("backoff")),
            replaces_dead=fields.get("on_dead_id") == "replace",
        )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UndecodableRecord(f"header ce_options makes no sense: {error}") from None


def _positive(number: Any) -> int | None:
    if number is None:
        return None
    if type(number) is not int or number < 1:
        raise ValueError(f"{number!r} is not a positive whole number")
    return number


def _backoff(fields: dict[str, Any] | None) -> Exponential | Fixed | None:
    if fields is None:
        return None
    if fields["kind"] == "fixed":
        return Fixed(delay=f"{int(fields['delay_ms'])}ms")
    if fields["kind"] == "exponential":
        return Exponential(
            base=f"{int(fields['base_ms'])}ms",
            factor=float(fields["factor"]),
            cap=f"{int(fields['cap_ms'])}ms",
            jitter=bool(fields["jitter"]),
        )
    raise ValueError(f"unknown kind of backoff {fields['kind']!r}")
