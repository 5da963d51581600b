"""The names of the benches, without what they import."""

from __future__ import annotations

from typing import Final

NAMES: Final = (
    "drain",
    "unordered",
    "io",
    "fanout",
    "enqueue",
    "latency",
    "recovery",
    "hot",
    "failing",
    "processes",
    "start",
    "ledger",
    "controls",
    "priority",
    "delay",
    "ticks",
    "replay",
    "console",
)
