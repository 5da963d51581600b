"""Faults of the engine that schedules have found and that are not mended yet.

While a name stands here schedules avoid what shows it; the oracle stays as strict as ever. Take a
name out once its fault is mended.
"""

from __future__ import annotations

from typing import Final

# A fan-out that is reopened never commits what it kept in the control topic.
FAN_OUT_COMMIT: Final = "fan-out commit"
# A crash before recovery's own append, and the next start on the same disk forgets to remove what
# is over.
CRASH_IN_RECOVERY: Final = "crash in recovery"

KNOWN: Final[frozenset[str]] = frozenset()
