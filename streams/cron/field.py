"""One field of a cron pattern: what may stand in it, and where it is at fault."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, NoReturn

LAST: Final = -1
"""As the place of a weekday in its month: the last one."""


class Fault(Exception):
    """What is wrong with a part of a pattern, from `at` (its index) on, for `length` characters."""

    def __init__(self, text: str, at: int, length: int, field: str = "") -> None:
        super().__init__(text)
        self.text = text
        self.at = at
        self.length = max(length, 1)
        self.field = field


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """A place in a pattern: the numbers that are allowed there, and their names in order."""

    name: str
    low: int
    high: int
    names: tuple[str, ...] = ()

    @property
    def allowed(self) -> str:
        """What may be written, for messages."""
        named = f" or {self.names[0]}-{self.names[-1]}" if self.names else ""
        return f"{self.low}-{self.high}{named}"


SECOND: Final = Field(name="second", low=0, high=59)
MINUTE: Final = Field(name="minute", low=0, high=59)
HOUR: Final = Field(name="hour", low=0, high=23)
DAY: Final = Field(name="day of month", low=1, high=31)
MONTH: Final = Field(
    name="month",
    low=1,
    high=12,
    names=("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"),
)
WEEKDAY: Final = Field(
    name="day of week",
    low=0,
    high=7,  # both are Sunday
    names=("sun", "mon", "tue", "wed", "thu", "fri", "sat"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Values:
    """What a field asks for. Days of the week are 0 (Sunday) to 6."""

    text: str
    numbers: frozenset[int]
    last_day: bool = False
    """`L`: the last day of the month."""
    last_workday: bool = False
    """`LW`: the last day of the month that is neither Saturday nor Sunday."""
    nth: frozenset[tuple[int, int]] = frozenset()
    """Days of the week by their place in the month, from 1, or LAST: `fri#2`, `friL`."""

    @property
    def is_starred(self) -> bool:
        """It begins with a star, which is what Debian's cron goes by."""
        return self.text.startswith("*")


def read_field(field: Field, text: str, at: int) -> Values:
    """The values of a field's text, which begins at index `at` of its pattern.

    Raises:
        Fault: it can't be read.
    """
    try:
        return _read(field, text.lower(), at)
    except Fault as fault:
        fault.field = field.name
        raise


def _read(field: Field, text: str, at: int) -> Values:
    numbers: set[int] = set()
    nth: set[tuple[int, int]] = set()
    marks: set[str] = set()
    for term in text.split(","):
        if field is DAY and term in ("l", "lw"):
            marks.add(term)
        elif field is WEEKDAY and ("#" in term or term.endswith("l")):
            nth.add(_nth(term, at))
        else:
            numbers.update(_numbers(field, term, at))
        at += len(term) + 1
    if field is WEEKDAY:
        numbers = {number % 7 for number in numbers}
    return Values(
        text=text,
        numbers=frozenset(numbers),
        last_day="l" in marks,
        last_workday="lw" in marks,
        nth=frozenset(nth),
    )


def _numbers(field: Field, term: str, at: int) -> range:
    span, slash, written = term.partition("/")
    if not term:
        raise Fault(f"a {field.name} is missing: write {field.allowed}", at, 1)
    if span == "*":
        first, last = field.low, field.high
    elif "-" in span[1:]:
        first, last = _span(field, span, at)
    else:
        first = last = _number(field, span, at)
        if slash:
            raise Fault(
                f"a step goes with a range: write {span}-{field.high}/{written or 2}, or */"
                f"{written or 2}",
                at,
                len(term),
            )
    if not slash:
        return range(first, last + 1)
    return range(first, last + 1, _step(field, span, written, (first, last), at + len(span) + 1))


def _step(field: Field, span: str, written: str, bounds: tuple[int, int], at: int) -> int:
    step = _digits(written)
    if not step:
        raise Fault(f"{written!r} is no step: write a number from 1, as in */5", at, len(written))
    first, last = bounds
    if step > last - first:
        every = {"second": "s", "minute": "m", "hour": "h"}.get(field.name)
        interval = f', or Every("{step}{every}") for an interval' if every else ""
        raise Fault(
            f"a step of {step} goes beyond {first}-{last}, so that {span}/{step} is {first} alone: "
            f"write {first}{interval}",
            at,
            len(written),
        )
    return step


def _span(field: Field, span: str, at: int) -> tuple[int, int]:
    begin, _, end = span.partition("-")
    first = _number(field, begin, at)
    last = _number(field, end, at + len(begin) + 1)
    if field is WEEKDAY and end == "sun":
        last = 7
    if last < first:
        least = field.names[0] if field.names and not begin.isdigit() else str(field.low)
        most = field.names[-1] if field.names and not begin.isdigit() else str(field.high)
        around = f"{begin}-{most},{least}-{end}"
        if field is WEEKDAY and end == "0":
            around = f"{begin}-7"
        raise Fault(f"{span} goes backwards: write {around}", at, len(span))
    return first, last


def _number(field: Field, text: str, at: int) -> int:
    if text in field.names:
        return field.low + field.names.index(text)
    number = _digits(text)
    if number is None:
        _refuse(field, text, at)
    if not field.low <= number <= field.high:
        raise Fault(f"{text} is no {field.name}: write {field.allowed}", at, len(text))
    return number


def _refuse(field: Field, text: str, at: int) -> NoReturn:
    if not text:
        raise Fault(f"a {field.name} is missing here: write {field.allowed}", at, 1)
    advice = f"write {field.allowed}"
    if text == "?":
        advice = 'write "*" for any'
    elif field.names and text[:3] in field.names:
        advice = f'write "{text[:3]}"'
    elif field is DAY and text == "l":
        advice = 'write "L" alone for the last day of the month, or the days themselves: 25-28'
    elif field is DAY and text.endswith("w"):
        advice = 'write "LW" for the last weekday of the month; others are not known'
    raise Fault(f"{text!r} is no {field.name}: {advice}", at, len(text))


def _nth(term: str, at: int) -> tuple[int, int]:
    if "#" not in term:
        return _weekday(term[:-1], term, at), LAST
    day, _, written = term.partition("#")
    place = _digits(written)
    if place is None or not 1 <= place <= 5:
        raise Fault(
            f"{written!r} is no place of a weekday in its month: write 1-5, or {day}L for the last",
            at + len(day) + 1,
            len(written),
        )
    return _weekday(day, term, at), place


def _weekday(day: str, term: str, at: int) -> int:
    if not day or "-" in day or "/" in day:
        raise Fault(
            f"{term!r} is no {WEEKDAY.name}: write one day, as in fri#2 for the second Friday of "
            "the month, or friL for the last",
            at,
            len(term),
        )
    return _number(WEEKDAY, day, at) % 7


def _digits(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 9 else None
