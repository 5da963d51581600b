"""Exit codes of `streams`, each with its meaning."""

from __future__ import annotations

from typing import Final

DONE: Final = 0
NEGATIVE: Final = 1
USAGE: Final = 2
NOT_FOUND: Final = 3
NO_BROKER: Final = 4
INTERRUPTED: Final = 130

EPILOG: Final = (
    "Exit codes: 0 done; 1 the answer is no (the job is dead, a letter was not replayed, a topic "
    "or a replay in shadow differs, a job is unaccounted for); 2 usage, or ambiguous; "
    "3 not found, or nothing to compare with; 4 no broker answers; "
    "130 interrupted."
)
