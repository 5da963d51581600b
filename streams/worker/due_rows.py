"""How far the index by due time was looked at, with what is long overdue apart. Pure."""

from __future__ import annotations

import bisect

LATE_MS = 1_000  # what should have started longer ago is overdue
Row = bytes


class DueRows:
    """Rows are looked at from `cursor` on, as time passes.

    What could not be looked at in time is left `behind`, in ranges of rows: it is looked at in its
    order, and what comes due now does not wait for it.
    """

    def __init__(self) -> None:
        self.cursor: Row = b""  # below it all were looked at, but for those behind
        self._behind: list[tuple[Row, Row]] = []  # from the first row on, up to before the second

    @property
    def behind(self) -> tuple[Row, Row] | None:
        """The rows that are to be looked at first among those that are behind."""
        return self._behind[0] if self._behind else None

    def note(self, row: Row) -> None:
        """A row was written, perhaps below what was looked at."""
        if row >= self.cursor:
            return
        if not self._behind or row >= self._behind[-1][1]:
            self.cursor = row
            return
        at = bisect.bisect(self._behind, (row, b"\xff"))
        if at and row < self._behind[at - 1][1]:
            return  # it is among those to be looked at
        self._behind.insert(at, (row, row + b"\x00"))

    def look_again(self, first: Row, last: Row) -> None:
        """Some rows from the one up to the other are to be looked at again."""
        end = last + b"\x00"
        if not self._behind or first >= self._behind[-1][1]:
            self.cursor = min(self.cursor, first)
            return
        touching = [each for each in self._behind if each[0] <= end and first <= each[1]]
        self._behind = [each for each in self._behind if each not in touching]
        first = min([first, *(start for start, _ in touching)])
        end = max([end, *(until for _, until in touching)])
        bisect.insort(self._behind, (first, min(end, self.cursor)))

    def turn_back(self, row: Row) -> None:
        """What is from this row on is not due any more: the clock was put back."""
        if row >= self.cursor:
            return
        self._behind = [(first, min(end, row)) for first, end in self._behind if first < row]
        self.cursor = row

    def seen(self, row: Row) -> None:
        """The row at the cursor was looked at."""
        self.cursor = row + b"\x00"

    def seen_behind(self, row: Row) -> None:
        """The first row of those that are behind was looked at."""
        first, end = self._behind[0]
        self._behind[0] = (max(first, row + b"\x00"), end)

    def caught_up(self) -> None:
        """No row is left in the first range of those that are behind."""
        del self._behind[0]

    def fall_behind(self, until: Row) -> None:
        """Leave what is between the cursor and `until` behind."""
        if until <= self.cursor:
            return
        if self._behind and self._behind[-1][1] == self.cursor:
            self._behind[-1] = (self._behind[-1][0], until)
        else:
            self._behind.append((self.cursor, until))
        self.cursor = until
