"""Which partitions are urgent, and whether others have to make way for them just now. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sized
from typing import Final

from faust.types import TP

FEW: Final = 200  # records at a time: urgent work that comes one by one, no backlog of it
LASTS: Final = 5.0  # seconds, after which what was seen does not count any more


class Urgency:
    """By the weights of queues: what has more than the least is urgent.

    As long as urgent jobs come one by one while there is a backlog of others, the backlog is taken
    in small pieces: it costs a fifth of what the worker could do. An urgent job does not wait for
    the pieces that come behind it.
    """

    def __init__(self, weights: Mapping[str, int]) -> None:
        self._weights = weights  # by topic
        self._least = min(weights.values(), default=0)
        self._few_until = self._many_until = 0.0

    def order(self, topic: str) -> int:
        """What to sort topics by, so that urgent ones come first."""
        return -self._weights.get(topic, self._least)

    def of(self, partitions: Iterable[TP]) -> set[TP]:
        """The urgent ones of these."""
        return {tp for tp in partitions if self._is_urgent(tp)}

    def took(self, taken: Mapping[TP, Sized], now: float) -> None:
        """Note what was taken; seconds."""
        for tp, records in taken.items():
            if self._is_urgent(tp):
                if len(records) <= FEW:
                    self._few_until = now + LASTS
            elif len(records) > FEW:
                self._many_until = now + LASTS

    def makes_way(self, now: float) -> bool:
        """Whether others are to be taken in small pieces; seconds."""
        return now < self._few_until and now < self._many_until

    def _is_urgent(self, tp: TP) -> bool:
        return self._weights.get(tp.topic, self._least) > self._least
