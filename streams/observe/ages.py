"""For how long commits have stood still, seen by whoever looks again and again. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

Place = tuple[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Commit:
    """Of one partition: what is committed, and where its queue ends."""

    offset: int
    end: int


class CommitAges:
    """Looks cost nothing between them: an age is as exact as they are frequent."""

    def __init__(self) -> None:
        self._stands: dict[Place, tuple[int, int]] = {}  # at which offset, and since when

    def look(self, commits: Mapping[Place, Commit], now: int) -> dict[Place, int]:
        """For how many ms the commit of each has not moved though there is more; else 0."""
        stands: dict[Place, tuple[int, int]] = {}
        ages: dict[Place, int] = {}
        for place, commit in commits.items():
            offset, since = self._stands.get(place, (None, now))
            if commit.offset >= commit.end:
                ages[place] = 0
                continue
            if offset != commit.offset:
                since = now
            stands[place] = commit.offset, since
            ages[place] = max(0, now - since)
        self._stands = stands
        return ages
