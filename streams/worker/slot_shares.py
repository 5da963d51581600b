"""Which worker has how many of the slots that a cluster has for a definition. Pure.

Workers say in one partition what they hold and want; the broker orders that and gives it its time.
What an ask gets follows from those before it: there is no leader, as with rates. A worker that is
not heard of for the time of its lease holds nothing any more. Who wants less than others gets what
it wants, the others get equal shares of the rest (max-min fairness), and of what can't be shared
evenly each has one in turn.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import orjson

from streams.values import immutable

WANTS_MS: Final = 3_000  # who wants slots says so more often than that
TURN_MS: Final = 2_000  # for how long one has what is left over when all have their shares


@immutable(frozen=True, slots=True, kw_only=True)
class SlotAsk:
    """What a worker says of the slots of one definition."""

    by: str  # one process
    number: int  # of its asks, rising: an older one that comes late says nothing
    holds: int  # slots that it has, and keeps
    wants: int  # more of them
    most: int  # in the whole cluster
    lease_ms: int  # for how long what it has is its own without a word

    def encode(self) -> bytes:
        """As the value of a record whose key is the limit's name."""
        told = {
            "by": self.by,
            "number": self.number,
            "holds": self.holds,
            "wants": self.wants,
            "most": self.most,
            "lease": self.lease_ms,
        }
        return orjson.dumps(told)


def decode_slot_ask(value: bytes | None) -> SlotAsk | None:
    """What `SlotAsk.encode` wrote; None: it is something else."""
    try:
        told = orjson.loads(value or b"")
        ask = SlotAsk(
            by=str(told["by"]),
            number=int(told["number"]),
            holds=int(told["holds"]),
            wants=int(told["wants"]),
            most=int(told["most"]),
            lease_ms=int(told["lease"]),
        )
    except (ValueError, KeyError, TypeError):
        return None
    is_sound = min(ask.holds, ask.wants) >= 0 and min(ask.most, ask.lease_ms) > 0
    return ask if is_sound else None


@dataclass(slots=True)
class _Claim:
    """One worker's."""

    number: int
    count: int
    until: int  # the end of its lease, by the broker's clock
    wants: int
    wants_until: int

    def encode(self) -> list[int]:
        return [self.number, self.count, self.until, self.wants, self.wants_until]


def fair_shares(wanted: Mapping[str, int], most: int, turn: int) -> dict[str, int]:
    """How many of `most` slots each gets of those that it wants; `turn` counts up."""
    shares: dict[str, int] = {}
    left = most
    names = sorted(wanted)
    while names:
        each = left // len(names)
        content = [name for name in names if wanted[name] <= each]
        if not content:
            over = left - each * len(names)
            for place, name in enumerate(names):
                shares[name] = each + int((place + turn) % len(names) < over)
            break
        for name in content:
            shares[name] = wanted[name]
            left -= wanted[name]
        names = [name for name in names if name not in shares]
    return shares


class SlotShares:
    """The slots of one definition, as of one position in the log."""

    def __init__(self) -> None:
        self.now = 0  # the latest time that was seen: the broker's may step back
        self._claims: dict[str, _Claim] = {}
        self._most = 0

    def take(self, ask: SlotAsk, at: int) -> int:
        """Take one ask; how many slots it gives to its sender."""
        self.now = max(self.now, at)
        self._drop_what_is_over()
        mine = self._claims.pop(ask.by, None)
        if mine is not None and ask.number <= mine.number:
            self._claims[ask.by] = mine
            return 0
        self._most = ask.most
        free = ask.most - ask.holds - sum(other.count for other in self._claims.values())
        claim = self._claims[ask.by] = _Claim(
            number=ask.number,
            count=ask.holds,
            until=self.now + ask.lease_ms,
            wants=ask.wants,
            wants_until=self.now + WANTS_MS,
        )
        given = max(0, min(ask.wants, free, self._shares()[ask.by] - ask.holds))
        claim.count += given
        claim.wants -= given
        return given

    def allowed(self, by: str) -> int | None:
        """How many slots a worker may keep, since others wait; None: nobody does."""
        if not any(self._waits(claim) for who, claim in self._claims.items() if who != by):
            return None
        return self._shares().get(by, 0)

    def _shares(self) -> dict[str, int]:
        wanted = {
            by: claim.count + (claim.wants if self._waits(claim) else 0)
            for by, claim in self._claims.items()
        }
        return fair_shares(wanted, self._most, self.now // TURN_MS)

    def _waits(self, claim: _Claim) -> bool:
        return claim.wants > 0 and claim.wants_until > self.now

    def _drop_what_is_over(self) -> None:
        for by, claim in list(self._claims.items()):
            has_given_up = not claim.count and claim.wants_until <= self.now
            if claim.until <= self.now or has_given_up:
                del self._claims[by]

    def encode(self) -> list[Any]:
        """For a snapshot."""
        claims = {by: claim.encode() for by, claim in self._claims.items()}
        return [self.now, self._most, claims]

    @classmethod
    def decode(cls, told: list[Any]) -> SlotShares:
        """What `encode` gave.

        Raises:
            ValueError, TypeError: it is something else.
        """
        read = cls()
        now, most, claims = told
        read.now, read._most = int(now), int(most)
        read._claims = {str(by): _Claim(*map(int, claim)) for by, claim in claims.items()}
        return read
