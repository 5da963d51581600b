"""From the text of a cron pattern to what it asks for; what makes no sense is shown in its place.

Five fields: minute, hour, day of month, month, day of week. With six, the first one is the second.
A field has numbers, names, lists, ranges and steps: `0,30`, `mon-fri`, `*/5`, `10-40/10`; the day
of month also `L` (last day) and `LW` (last weekday), the day of week `fri#2` (second Friday of the
month) and `friL` (last one). Sunday is 0 or 7. If both kinds of day are restricted, one of them is
enough, unless one of the fields begins with a star: then both must fit, as in Debian's cron.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from difflib import get_close_matches
from functools import lru_cache
from typing import Final

from streams.cron.field import (
    DAY,
    HOUR,
    LAST,
    MINUTE,
    MONTH,
    SECOND,
    WEEKDAY,
    Fault,
    Values,
    read_field,
)

FIELDS: Final = (SECOND, MINUTE, HOUR, DAY, MONTH, WEEKDAY)
MACROS: Final = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}
_LONGEST_MONTH: Final = {month: 30 if month in (4, 6, 9, 11) else 31 for month in range(1, 13)} | {
    2: 29
}
_NONE: Final = (
    'write five fields (minute, hour, day of month, month, day of week), as in "0 7 * * *"'
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pattern:
    """A pattern that was checked."""

    seconds: Values
    minutes: Values
    hours: Values
    days: Values
    months: Values
    weekdays: Values

    @property
    def is_fixed(self) -> bool:
        """It names minutes and hours: no change of the clock skips such a run, or repeats it."""
        return not (self.minutes.is_starred or self.hours.is_starred)

    @property
    def needs_both_days(self) -> bool:
        """A day must fit the day of month and the day of week; else one of them is enough."""
        return self.days.is_starred or self.weekdays.is_starred

    @property
    def expression(self) -> str:
        """The same in the six fields that cronsim takes."""
        values = (self.seconds, self.minutes, self.hours, self.days, self.months, self.weekdays)
        return " ".join(_expression(each) for each in values)


@lru_cache(maxsize=1024)
def parse(text: str) -> Pattern:
    """What a pattern asks for.

    Raises:
        ValueError: it makes no sense, or no day can fit it; the message shows where.
    """
    if not isinstance(text, str):
        raise ValueError(f"{text!r} is no pattern: {_NONE}")
    try:
        return _pattern(text)
    except Fault as fault:
        where = f"{fault.field}, column" if fault.field else "column"
        shown = re.sub(r"\s", " ", text)
        raise ValueError(
            f"{fault.text} ({where} {fault.at + 1})\n"
            f"    {shown}\n"
            f"    {' ' * fault.at}{'^' * fault.length}"
        ) from None


def _pattern(text: str) -> Pattern:
    words = [(word[0], word.start()) for word in re.finditer(r"\S+", text)]
    if len(words) == 1 and words[0][0].startswith("@"):
        expanded = _macro(*words[0])
        words = [(word[0], word.start()) for word in re.finditer(r"\S+", expanded)]
    elif words and re.match(r"(CRON_)?TZ=", words[0][0]):
        raise Fault('the zone has its own place: write tz="..."', words[0][1], len(words[0][0]))
    if not words:
        raise Fault(f"there is nothing in it: {_NONE}", 0, 1)
    if len(words) < 5:
        had = "1 field is" if len(words) == 1 else f"{len(words)} fields are"
        raise Fault(f"{had} too few: {_NONE}", len(text.rstrip()), 1)
    if len(words) > 6:
        raise Fault(
            f"{len(words)} fields are too many: write five, or six with the second first; there is "
            "none for the year (start= and end= bound a schedule)",
            words[6][1],
            len(words[6][0]),
        )
    if len(words) == 5:
        words.insert(0, ("0", 0))
    read = [read_field(field, *word) for field, word in zip(FIELDS, words, strict=True)]
    seconds, minutes, hours, days, months, weekdays = read
    pattern = Pattern(
        seconds=seconds, minutes=minutes, hours=hours, days=days, months=months, weekdays=weekdays
    )
    _check_days(pattern, *words[3])
    return pattern


def _macro(name: str, at: int) -> str:
    expanded = MACROS.get(name.lower())
    if expanded is not None:
        return expanded
    if name.lower() == "@reboot":
        advice = "a schedule has times only"
    elif near := get_close_matches(name.lower(), MACROS, n=1):
        advice = f"did you mean {near[0]}?"
    else:
        advice = f"there are {', '.join(MACROS)}"
    raise Fault(f"{name} is not known: {advice}", at, len(name))


def _check_days(pattern: Pattern, text: str, at: int) -> None:
    days, months = pattern.days, pattern.months.numbers
    if not pattern.needs_both_days or days.last_day or days.last_workday:
        return
    longest = max(_LONGEST_MONTH[month] for month in months)
    if min(days.numbers) > longest:
        names = " or ".join(MONTH.names[month - 1] for month in sorted(months))
        raise Fault(
            f"no {names} has a day {min(days.numbers)}, so it would never run: write a day up to "
            f"{longest}, or L for the last one",
            at,
            len(text),
            DAY.name,
        )


def _expression(values: Values) -> str:
    if values.text == "*":
        return "*"
    terms = [str(number) for number in sorted(values.numbers)]
    terms += ["L"] * values.last_day + ["LW"] * values.last_workday
    terms += [f"{day}L" if n == LAST else f"{day}#{n}" for day, n in sorted(values.nth)]
    if values.is_starred:  # cronsim too goes by the star
        terms.insert(0, values.text.partition(",")[0])
    return ",".join(terms)
