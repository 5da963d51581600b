"""The watermark of one partition: the offset below which everything is settled or taken over."""

from __future__ import annotations

from collections import deque


class Watermark:
    """Tracks offsets that were read and are not finished; offsets may have gaps."""

    def __init__(self, start: int) -> None:
        self.position = start  # the next offset that has not been read
        self._order: deque[int] = deque()
        self._finished: set[int] = set()

    def begin(self, offset: int) -> bool:
        """Note that `offset` was read. False: it was read before, and is somebody's already."""
        if offset < self.position:
            return False
        self._order.append(offset)
        self.position = offset + 1
        return True

    def skip_to(self, position: int) -> None:
        """Note that there is nothing to read below `position`."""
        self.position = max(self.position, position)

    def finish(self, offset: int) -> None:
        """Note that `offset` is settled or taken over."""
        self._finished.add(offset)
        while self._order and self._order[0] in self._finished:
            self._finished.remove(self._order.popleft())

    @property
    def value(self) -> int:
        """The offset to commit: it never rises past one that is unfinished, and never falls."""
        return self._order[0] if self._order else self.position

    @property
    def held(self) -> int:
        """How far the commit is behind the read position, in offsets."""
        return self.position - self.value

    @property
    def pending(self) -> int:
        """How many offsets are held."""
        return len(self._order) - len(self._finished)
