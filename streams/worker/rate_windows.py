"""How many starts of a rate are taken, as the log of asks says: each reader finds the same. Pure.

All workers ask for starts in one partition, whose records the broker orders and gives its time.
What an ask gets follows from those before it, so there is no leader, and nothing to be handed over
when a worker comes, goes, or is cut off. A start that was given at broker time t may be used for a
while, which the ask says, counted by the asker's own even clock from before the ask was sent; so it
happens between t and t + use. It counts until t + use + per: any two starts of which the second was
given for the end of the first are at least `per` apart, whatever the clocks of workers show.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import Any, Final

import orjson

from streams.values import immutable

_STEPS: Final = 200  # so many different times of one window are told apart


def use_ms(per_ms: int, answered_in_ms: int = 0) -> int:
    """For how long a start that is asked for may be used, if answers take so long.

    It is lost if it is used later: where all is slow, it is better to use less of the rate.
    """
    return max(min(max(per_ms // 25, 40), 2_000), min(3 * answered_in_ms, per_ms))


@immutable(frozen=True, slots=True, kw_only=True)
class Ask:
    """A worker asks for starts of a rate."""

    wanted: int
    most: int
    per_ms: int
    use_ms: int  # for how long what it gets may be used

    @property
    def counts_ms(self) -> int:
        """For how long a start counts; two for the parts of a millisecond that clocks leave out."""
        return self.per_ms + self.use_ms + 2

    def encode(self) -> bytes:
        """As the value of a record whose key is the rate's name."""
        told = {"wanted": self.wanted, "most": self.most, "per": self.per_ms, "use": self.use_ms}
        return orjson.dumps(told)


def decode_ask(value: bytes | None) -> Ask | None:
    """What `Ask.encode` wrote; None: it is something else."""
    try:
        told = orjson.loads(value or b"")
        ask = Ask(
            wanted=int(told["wanted"]),
            most=int(told["most"]),
            per_ms=int(told["per"]),
            use_ms=int(told["use"]),
        )
    except (ValueError, KeyError, TypeError):
        return None
    is_sound = ask.wanted > 0 and ask.most > 0 and ask.per_ms > 0 and ask.use_ms >= 0
    return ask if is_sound else None


@dataclass(slots=True)
class Window:
    """What was given of one rate: (until when it counts, how many), in order of time."""

    given: deque[tuple[int, int]] = field(default_factory=deque)
    taken: int = 0
    now: int = 0  # the latest time that was seen: the broker's may step back

    def give(self, ask: Ask, at: int) -> int:
        """How many an ask gets, that the broker took at this time (ms since the epoch)."""
        self.now = max(self.now, at)
        while self.given and self.given[0][0] <= self.now:
            self.taken -= self.given.popleft()[1]
        count = max(0, min(ask.wanted, ask.most - self.taken))
        if not count:
            return 0
        step = max(1, ask.per_ms // _STEPS)
        until = -(-(self.now + ask.counts_ms) // step) * step
        if self.given and self.given[-1][0] > until:  # the rate was another one so far
            until = self.given[-1][0]
        if self.given and self.given[-1][0] == until:
            count_before = self.given.pop()[1]
            self.given.append((until, count_before + count))
        else:
            self.given.append((until, count))
        self.taken += count
        return count

    def encode(self) -> list[Any]:
        """For a snapshot."""
        return [self.now, list(self.given)]

    @classmethod
    def decode(cls, told: list[Any]) -> Window:
        """What `encode` gave.

        Raises:
            ValueError, TypeError: it is something else.
        """
        now, given = told
        pairs = deque((int(until), int(count)) for until, count in given)
        return cls(pairs, sum(count for _, count in pairs), int(now))

    def free_at(self, most: int) -> int:
        """From which broker time on one more can be given."""
        taken = self.taken
        for until, count in self.given:
            if taken < most:
                break
            taken -= count
            if taken < most:
                return until
        return self.now
