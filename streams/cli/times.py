"""Durations and moments as they are written behind an option, checked before anything else."""

from __future__ import annotations

import time
from datetime import datetime

from streams.cli import exits
from streams.cli.output import fail


def check_duration(option: str, text: str | None) -> None:
    """End the command if this is no duration; None was not given."""
    from streams.durations import to_ms

    if text is None:
        return
    try:
        to_ms(text)
    except ValueError as error:
        fail(f"{option}: {error}", exits.USAGE)


def read_moment(option: str, text: str | None) -> datetime | None:
    """A time with its zone; ends the command if it is none."""
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        fail(f"{option} {text}: write it as 2026-12-24T18:00+01:00, or ...T17:00Z", exits.USAGE)
    if moment.utcoffset() is None:
        whole = text if len(text) > len("2026-12-24") else f"{text}T00:00"
        fail(f"{option} {text} has no time zone: write {whole}+01:00, or ...Z", exits.USAGE)
    return moment


def check_start(delay: str | None, run_at: str | None) -> datetime | None:
    """The moment of `--run-at`; ends the command if it or `--delay` is none, or both are given."""
    if delay is not None and run_at is not None:
        fail("give either --delay or --run-at, not both", exits.USAGE)
    check_duration("--delay", delay)
    return read_moment("--run-at", run_at)


def read_past(option: str, text: str | None) -> int | None:
    """A time in ms since the epoch, written as one, or as how long ago it is."""
    from streams.durations import to_ms

    if text is None:
        return None
    try:
        return int(time.time() * 1000) - to_ms(text)
    except ValueError:
        pass
    if not text[:4].isdigit():
        told = "write how long ago it is (2h, 7d), or a time as 2026-12-24T18:00+01:00"
        fail(f"{option} {text}: {told}", exits.USAGE)
    moment = read_moment(option, text)
    return None if moment is None else int(moment.timestamp() * 1000)
