"""What contradicts in a schedule, or makes no sense. Pure."""

from __future__ import annotations

from datetime import datetime
from difflib import get_close_matches
from typing import Any, Final, get_args

from streams.cron.pattern import parse
from streams.cron.schedule import MOST, Cron, Every, Missed, Overlap, Schedule, to_epoch_ms
from streams.cron.spelling import Spell, in_code
from streams.cron.ticks import COUNTED_MAX, next_tick
from streams.cron.wall import distance
from streams.cron.zone import zone
from streams.durations import format_ms

INTERVAL_MIN_MS: Final = 1_000
MOST_MAX: Final = COUNTED_MAX


def schedule_mistakes(schedule: Any, spell: Spell = in_code) -> list[str]:
    """What does not fit in a schedule, a line for each (a pattern's fault has three).

    `spell` writes an option as whoever reads this has written it.
    """
    if not isinstance(schedule, Cron | Every):
        return [f'{schedule!r} is no schedule: write cron=Cron("0 7 * * mon-fri") or Every("10m")']
    mistakes: list[str] = []
    closest_ms = _distance_ms(schedule, spell, mistakes)
    for option, moment in (("start", schedule.start), ("end", schedule.end)):
        mistakes += _moment_mistakes(option, moment)
    mistakes += _choice_mistakes("missed", schedule.missed, get_args(Missed), spell)
    mistakes += _choice_mistakes("overlap", schedule.overlap, get_args(Overlap), spell)
    mistakes += _most_mistakes(schedule, spell)
    mistakes += _jitter_mistakes(schedule, closest_ms, spell)
    return mistakes or _end_mistakes(schedule, spell)


def _distance_ms(schedule: Schedule, spell: Spell, mistakes: list[str]) -> int | None:
    """The least time between two runs; None if there is none, or it can't be told."""
    if isinstance(schedule, Every):
        try:
            ms = schedule.ms
        except (ValueError, TypeError) as error:
            mistakes.append(f"{spell('every')}: {error}")
            return None
        if ms < INTERVAL_MIN_MS:
            mistakes.append(f"{spell('every', schedule.duration)} is shorter than a second")
        return ms
    try:
        zone(schedule.tz)
    except ValueError as error:
        mistakes.append(f"{spell('tz')}: {error}")
    try:
        pattern = parse(schedule.pattern)
    except (ValueError, TypeError) as error:
        mistakes.append(str(error))
        return None
    closest = distance(pattern) if schedule.jitter is not None else None
    return None if closest is None else closest * 1_000


def _moment_mistakes(option: str, moment: Any) -> list[str]:
    if moment is None:
        return []
    if not isinstance(moment, datetime):
        return [f"{option}={moment!r}: write a datetime with a time zone"]
    if moment.utcoffset() is None:
        return [
            f"{option}={moment.isoformat()} has no time zone: write datetime(..., "
            'tzinfo=UTC), or tzinfo=ZoneInfo("Europe/Berlin")'
        ]
    return []


def _choice_mistakes(option: str, given: Any, choices: tuple[str, ...], spell: Spell) -> list[str]:
    if given in choices:
        return []
    near = get_close_matches(str(given), choices, n=1)
    advice = (
        f"did you mean {spell(option, near[0])}?" if near else f"write one of {', '.join(choices)}"
    )
    return [f"{spell(option, given)}: {advice}"]


def _most_mistakes(schedule: Schedule, spell: Spell) -> list[str]:
    most = schedule.most
    if not isinstance(most, int) or isinstance(most, bool) or not 1 <= most <= MOST_MAX:
        return [f"{spell('most', most)} is no number from 1 to {MOST_MAX}"]
    if most != MOST and schedule.missed != "run_all":
        return [
            f"{spell('most', most)} bounds {spell('missed', 'run_all')}, and {spell('missed')} is "
            f"{schedule.missed}: leave one of them out"
        ]
    return []


def _jitter_mistakes(schedule: Schedule, closest_ms: int | None, spell: Spell) -> list[str]:
    try:
        jitter_ms = schedule.jitter_ms
    except (ValueError, TypeError) as error:
        return [f"{spell('jitter')}: {error}"]
    told = spell("jitter", schedule.jitter)
    if schedule.jitter is not None and not jitter_ms:
        return [f"{told} puts nothing off: write {spell('jitter', '30s')}, or leave it out"]
    if jitter_ms and closest_ms is not None and jitter_ms >= closest_ms:
        return [
            f"{told} could put a run off past the next one, which comes {format_ms(closest_ms)} "
            "later: shorten it"
        ]
    return []


def _end_mistakes(schedule: Schedule, spell: Spell) -> list[str]:
    if schedule.start is None or schedule.end is None:
        return []
    start, end = spell("start", schedule.start), spell("end", schedule.end)
    if schedule.end <= schedule.start:
        return [f"{end} is not later than {start}: it would never run"]
    if next_tick(schedule, to_epoch_ms(schedule.start) - 1) is None:
        return [
            f"nothing of it falls between {start} and {end}: it would never run; make "
            f"{spell('end')} later"
        ]
    return []
