"""Options that have to say something where they are given."""

from __future__ import annotations

from streams.cli import exits
from streams.cli.output import fail


def check_given(**options: str | None) -> None:
    """Nothing, unless one is empty: as a variable of a shell is that was not set."""
    for name, value in options.items():
        if value is not None and not value.strip():
            fail(f"--{name} is empty: leave it out, or write what is meant", exits.USAGE)
