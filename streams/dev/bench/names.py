"""The names of the benches, without what they import."""

from __future__ import annotations

from typing import Final

NAMES: Final = ("drain", "unordered", "io", "fanout", "enqueue", "latency", "recovery")

NOT_YET: Final = {
    "ledger": "it measures a ledger at full retention, which is not trimmed so far",
}
"""Names that are kept free for what is to come, and why it is not there."""
