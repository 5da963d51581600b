"""A job's attempts, as its state has them, for people and for programs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from streams.cli.output import print_table, show_time

if TYPE_CHECKING:
    from streams.wire.state import AttemptRecord


def print_history(attempts: Sequence[AttemptRecord]) -> None:
    """A table of them; nothing if there are none."""
    if not attempts:
        return
    print_table(
        ("attempt", "started", "took", "outcome", "worker", "error"),
        [
            (
                str(a.attempt),
                show_time(a.started),
                f"{a.ended - a.started} ms",
                a.outcome,
                a.worker,
                a.error or "",
            )
            for a in attempts
        ],
    )


def history_json(attempts: Sequence[AttemptRecord]) -> list[dict[str, Any]]:
    """The same for programs; times in milliseconds since the epoch."""
    return [
        {
            "attempt": a.attempt,
            "started": a.started,
            "ended": a.ended,
            "worker": a.worker,
            "outcome": a.outcome,
            "error": a.error,
        }
        for a in attempts
    ]
