"""What `streams doctor` looks at on this machine: settings, handlers, disk, object storage."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Final

from streams.cli.finding import Finding

if TYPE_CHECKING:
    from streams.jobs.registry import Registry
    from streams.settings import Settings

FREE_MIN_BYTES: Final = 1024**3
"""A worker keeps the state of its partitions on disk, a console what it lists."""
_PROBE: Final = "doctor/"
_WAIT_MS: Final = 60_000


def look_at_settings(environment: Iterable[str]) -> tuple[Settings | None, Finding]:
    """The settings, if they make sense; and what is odd about them."""
    from streams.console.secret import read_secret
    from streams.durations import to_ms
    from streams.errors import SettingsError
    from streams.settings import Settings, unknown_variables

    def ill(found: str, remedy: str) -> Finding:
        return Finding(check="settings", is_well=False, found=found, remedy=remedy)

    try:
        settings = Settings()
    except SettingsError as error:
        return None, ill(str(error), "correct the variable")
    if unknown := unknown_variables(environment):
        names = ", ".join(name for name, _ in unknown)
        meant = [f"{name}: did you mean {near}?" for name, near in unknown if near]
        return settings, ill(
            f"no setting is called {names}", "; ".join(meant) or "remove it, or correct its name"
        )
    try:
        read_secret(settings)
    except SettingsError as error:
        return settings, ill(str(error), "correct it, or schedules can't be called over HTTP")
    if to_ms(settings.unique_for) > to_ms(settings.ledger_kept):
        return settings, ill(
            f"STREAMS_UNIQUE_FOR={settings.unique_for} is longer than "
            f"STREAMS_LEDGER_KEPT={settings.ledger_kept}: ids would be forgotten too early",
            "shorten the one, or raise the other",
        )
    served = f"queues {', '.join(settings.queues)}"
    return settings, Finding(check="settings", is_well=True, found=served)


def look_at_handlers(settings: Settings) -> tuple[Registry | None, Finding]:
    """The handlers, if they load and fit each other."""
    from streams.durations import to_ms
    from streams.errors import StreamsError
    from streams.jobs.discovery import handler_modules, load_handlers, load_named
    from streams.jobs.registry import Registry

    try:
        handlers = load_handlers(handler_modules(settings.handlers))
        registry = Registry.build(
            handlers,
            settings.queues,
            middleware=[load_named(name) for name in settings.middleware],
            ledger_kept_ms=to_ms(settings.ledger_kept),
        )
    except StreamsError as error:
        return None, Finding(
            check="handlers",
            is_well=False,
            found=str(error).strip(),
            remedy="correct it: no worker starts like this",
        )
    return registry, Finding(
        check="handlers",
        is_well=True,
        found=f"{len(handlers)}, of {len(registry.event_types())} types of events",
        value=len(handlers),
    )


def look_at_disk(settings: Settings) -> Finding:
    """Whether STREAMS_DATA_DIR can be written, and has room."""
    path = Path(settings.data_dir).absolute()
    there = next(each for each in (path, *path.parents) if each.exists())
    if not there.is_dir() or not os.access(there, os.W_OK | os.X_OK):
        return Finding(
            check="disk",
            is_well=False,
            found=f"{there} can't be written",
            remedy="set STREAMS_DATA_DIR to a directory that can be, or change its owner",
        )
    free = shutil.disk_usage(there).free
    is_well = free >= FREE_MIN_BYTES
    return Finding(
        check="disk",
        is_well=is_well,
        found=f"{free / 1024**3:,.1f} GiB are free in {path}",
        remedy="" if is_well else "make room, or set STREAMS_DATA_DIR to where there is some",
        value=round(free / 1024**3, 1),
    )


async def look_at_objects(settings: Settings) -> Finding:
    """Whether large results can be written, read and removed where they are kept."""
    from streams.errors import ObjectsUnavailable
    from streams.wire.objects import open_objects

    if not settings.objects:
        return Finding(check="objects", is_well=True, found="in STREAMS_DATA_DIR")
    folder, value = f"{_PROBE}{os.getpid()}-{time.time_ns()}/", b"streams doctor"
    path = f"{folder}probe"
    try:
        objects = open_objects(settings.objects)
        await objects.put(path, value)
        is_same = await objects.get(path) == value
        await objects.sweep(folder, time.time_ns() // 1_000_000 + _WAIT_MS)
    except (OSError, ObjectsUnavailable) as error:
        return Finding(
            check="objects",
            is_well=False,
            found=str(error),
            remedy="correct STREAMS_OBJECTS, or the credentials that its store needs",
        )
    return Finding(
        check="objects",
        is_well=is_same,
        found="written, read and removed" if is_same else "what was read is not what was written",
        remedy="" if is_same else "choose another store for STREAMS_OBJECTS",
    )
