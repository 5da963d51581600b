"""What operators did, as records of a topic that is only added to: who, when, what, how many."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

import orjson

from streams.errors import UndecodableRecord


@dataclass(frozen=True, slots=True, kw_only=True)
class OperatorAction:
    """Something that an operator began, or that ended: two records with one id."""

    id: str
    at: int  # ms since the epoch
    by: str  # whoever says so himself: user@host
    what: str  # "dlq replay"
    on: str  # the filter, as it was written
    ended: bool = False
    counts: dict[str, int] = field(default_factory=dict)  # of one that ended
    reason: str = ""
    failed: str = ""  # of one that ended before it was done: what ended it


def encode_action(action: OperatorAction) -> tuple[bytes, bytes]:
    """Key and value of a record."""
    return action.id.encode(), orjson.dumps(asdict(action))


def decode_action(value: bytes) -> OperatorAction:
    """What `encode_action` wrote.

    Raises:
        UndecodableRecord: these bytes are something else.
    """
    try:
        told: dict[str, Any] = orjson.loads(value)
        return OperatorAction(
            id=str(told["id"]),
            at=int(told["at"]),
            by=str(told["by"]),
            what=str(told["what"]),
            on=str(told["on"]),
            ended=bool(told["ended"]),
            counts={str(name): int(count) for name, count in told["counts"].items()},
            reason=str(told["reason"]),
            failed=str(told.get("failed", "")),
        )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UndecodableRecord(f"it is no action of an operator: {error}") from error
