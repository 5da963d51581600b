"""Garbage collection of a process that lives long and has many small objects in hand."""

from __future__ import annotations

import gc


def tune_garbage_collection() -> None:
    """Collect rarely; to be called once all that stays is loaded.

    By default every 700 new objects start a collection, and long ones follow: they took a third of
    the time of a worker's short jobs, and a quarter of what it takes to build a projection. What is
    loaded by now is never looked at again.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)
