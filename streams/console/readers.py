"""Who follows a job or waits for it: each holds a connection, so there are so many and no more."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from streams.console.problems import unavailable

READERS_MAX: Final = 2_000


class Readers:
    """Counts them."""

    def __init__(self) -> None:
        self.number = 0

    def check(self) -> None:
        """Nothing, if there may be one more.

        Raises:
            Problem: there may not.
        """
        if self.number >= READERS_MAX:
            raise unavailable("too many follow jobs on this console; ask again later")

    @contextmanager
    def one_more(self) -> Iterator[None]:
        """Count one that may be, for as long as it is there."""
        self.number += 1
        try:
            yield
        finally:
            self.number -= 1
