"""A worker that trims all the time, and tells in the effects file when it has been round."""

from __future__ import annotations

import os

import effects
from fault_handlers import hold, step  # noqa: F401 - the handlers to load

from streams.worker import takeover, trimming

trimming.EVERY_MS = 200
takeover.LONG_MS = 3_600_000  # what runs holds its offset, however slow the machine is

_trim_all = trimming.Trimmer.trim_all


async def _trim_and_tell(trimmer: trimming.Trimmer, kept: trimming.Kept) -> None:
    partitions = len(trimmer._pipelines)
    await _trim_all(trimmer, kept)
    if partitions:
        effects.write(f"trimmed - - {partitions} {os.getpid()}")


trimming.Trimmer.trim_all = _trim_and_tell  # type: ignore[method-assign]
