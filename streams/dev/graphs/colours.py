"""One colour for each state and each quantile, the same in all dashboards."""

from __future__ import annotations

from typing import Any, Final

GOOD: Final = "green"
WARNING: Final = "orange"
BAD: Final = "red"
CALM: Final = "blue"

COLOURS: Final = {
    # how jobs are
    "completed": "green",
    "running": "light-green",
    "active": "light-green",
    "queued": "blue",
    "parked": "purple",
    "held": "light-purple",
    "scheduled": "light-blue",
    "sleeping": "super-light-blue",
    "retrying": "orange",
    "dead": "red",
    "discarded": "#8e8e8e",
    "cancelled": "light-yellow",
    "expired": "dark-yellow",
    "pending": "blue",
    # what was counted with them
    "accepted": "semi-dark-blue",
    "unrecorded": "super-light-green",
    "duplicates": "super-light-orange",
    "forwarded": "#b0b0b0",
    "undecodable": "dark-red",
    "failed attempts": "orange",
    "jobs given up": "red",
    "replayed": "light-blue",
    # ticks
    "enqueued": "green",
    "missed": "red",
    "skipped": "dark-yellow",
    # quantiles
    "p50": "green",
    "p95": "orange",
    "p99": "red",
    # slots
    "there are": "#8e8e8e",
}


def overrides(names: list[str]) -> list[dict[str, Any]]:
    """What gives series with these names their colours."""
    return [
        {
            "matcher": {"id": "byName", "options": name},
            "properties": [
                {"id": "color", "value": {"mode": "fixed", "fixedColor": COLOURS[name]}}
            ],
        }
        for name in names
    ]
