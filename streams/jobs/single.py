"""Of jobs that are alike one runs, the others are dropped: how a definition asks for that. Pure."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Literal

import orjson

from streams.contracts import Event, JobPayload
from streams.durations import Duration


class Kind(StrEnum):
    """Which one of those that are alike runs."""

    THROTTLE = "throttle"  # the first one in a while
    DEBOUNCE = "debounce"  # the last one, once no other has come for a while
    UNTIL_STARTED = "started"  # the one that waits
    UNTIL_OVER = "over"  # the one that waits or runs


@dataclass(frozen=True, slots=True)
class Debounce:
    """Of a burst for a key the last job runs, as in `Debounce("5s", at_most="1m")`.

    Once no other has come for `quiet`, and no later than `at_most` after the burst's first one.
    """

    quiet: Duration
    at_most: Duration | None = field(default=None, kw_only=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Unique:
    """While a job waits or runs, others like it are dropped, as in `Unique(by="key")`.

    Jobs are alike that have the same ordering key, or the same values of some fields of the
    payload: `by=("account_id", "month")`, one of which is the key. `until="started"`: only while
    it waits. `for_`: after its end as well, for so long.
    """

    by: Literal["key"] | Sequence[str]
    until: Literal["started", "over"] = "over"
    for_: Duration | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SingleRule:
    """What a definition asks for; durations in milliseconds."""

    kind: Kind
    ms: int = 0  # the period of a throttle, the quiet of a debounce, how long one counts after all
    at_most_ms: int | None = None  # of a debounce, after the first one of a burst
    fields: tuple[str, ...] = ()  # in which those are the same that are alike; with the key

    @property
    def remembered_ms(self) -> int:
        """For how long what is over counts: the ledger must be kept at least as long."""
        return 0 if self.kind is Kind.DEBOUNCE else self.ms

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
        if self.fields:
            try:
                model = payload_type.model_validate_json(payload)
                values = model.model_dump(mode="json", include=set(self.fields))
            except ValueError:
                return None  # it fails when it runs, and says why
            alike += [values[name] for name in self.fields]
        return hashlib.sha256(_dumped(alike)).hexdigest()[:24]


def _dumped(alike: list[Any]) -> bytes:
    """The same bytes for the same values, whatever the order of their fields."""
    try:
        return orjson.dumps(alike, option=orjson.OPT_SORT_KEYS)
    except TypeError:  # a number of more than 64 bits
        return json.dumps(alike, sort_keys=True).encode()
