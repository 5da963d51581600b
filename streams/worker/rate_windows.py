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


class Windows:
    """Those of all rates, as of one position in the log of asks."""

    def __init__(self) -> None:
        self.position = 0
        self._windows: dict[str, Window] = {}

    def take(self, name: str, value: bytes | None, offset: int, at: int) -> int:
        """Take one record; how many starts it gives to its sender."""
        self.position = offset + 1
        ask = decode_ask(value)
        if ask is None:
            return 0
        window = self._windows.setdefault(name, Window())
        return window.give(ask, at)

    def free_at(self, name: str, most: int) -> int:
        """From which broker time on one more start can be given; 0: at once."""
        window = self._windows.get(name)
        return 0 if window is None else window.free_at(most)

    def encode(self) -> bytes:
        """All of it, to go on from; what does not count any more is left out."""
        latest = max((window.now for window in self._windows.values()), default=0)
        windows = {
            name: [window.now, list(window.given)]
            for name, window in self._windows.items()
            if window.given and window.given[-1][0] > latest
        }
        return orjson.dumps({"position": self.position, "windows": windows})

    @classmethod
    def decode(cls, value: bytes | None) -> Windows:
        """What `encode` wrote; what can't be read is nothing: then all asks are read."""
        read = cls()
        try:
            told: dict[str, Any] = orjson.loads(value or b"")
            for name, (now, given) in told["windows"].items():
                pairs = [(int(until), int(count)) for until, count in given]
                taken = sum(count for _, count in pairs)
                read._windows[str(name)] = Window(deque(pairs), taken, int(now))
            read.position = int(told["position"])
        except (ValueError, KeyError, TypeError):
            return cls()
        return read
