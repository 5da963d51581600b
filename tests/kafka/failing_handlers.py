"""A worker with a fault of its own: once, it can't settle the job named 13."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from crash_handlers import count  # noqa: F401 - the handler to load

from streams.worker import settle

_conclude = settle.conclude


def _conclude_or_fail(attempt: Any, *arguments: Any) -> None:
    done = Path(os.environ["FAILED_ONCE"])
    if attempt.job.id == "13" and not done.exists():
        done.touch()
        raise RuntimeError("a fault in the middle of a turn")
    _conclude(attempt, *arguments)


settle.conclude = _conclude_or_fail
