"""How many jobs listings show, as it is written: by age and number, with exceptions for queues."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from streams.durations import to_ms

_LIMIT: Final = re.compile(r"(?P<age>[^/=]+)/(?P<number>[0-9]{1,12}|all)")
_ALL: Final = "all"


@dataclass(frozen=True, slots=True)
class Listed:
    """Up to which age (milliseconds) and number jobs of an outcome are listed; None: all."""

    age_ms: int | None
    number: int | None


def read_listed(words: Iterable[str]) -> dict[str, Listed]:
    """`24h/1000` and `bulk=1h/100`: by queue, "" for those that have none of their own.

    Raises:
        ValueError: it is something else; the message says what to write.
    """
    found = {}
    for word in words:
        queue, is_of_one, limit = word.rpartition("=")
        told = _LIMIT.fullmatch(limit.strip())
        if told is None or (is_of_one and not queue.strip()) or told["number"].strip("0") == "":
            raise ValueError(
                f'{word!r}: write an age and a number, as in "24h/1000" or "all/500", with a queue '
                'in front where it has its own, as in "bulk=1h/100"'
            )
        age, number = told["age"].strip(), told["number"]
        found[queue.strip()] = Listed(
            None if age == _ALL else to_ms(age), None if number == _ALL else int(number)
        )
    return found
