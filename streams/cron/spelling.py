"""How an option is written where whoever made a mistake has written it. Pure."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any, Final

NOTHING: Final = object()

Spell = Callable[..., str]
"""Takes an option, and perhaps its value: `jitter="30s"` in code, `--jitter 30s` in a shell."""


def in_code(option: str, value: Any = NOTHING) -> str:
    """As it is written at `@job(cron=...)`."""
    if value is NOTHING:
        return "Every" if option == "every" else option
    written = f'"{value}"' if isinstance(value, str) else repr(value)
    if isinstance(value, datetime):
        written = value.isoformat()
    return f"Every({written})" if option == "every" else f"{option}={written}"


def in_a_shell(option: str, value: Any = NOTHING) -> str:
    """As it is written behind `streams cron add`."""
    if value is NOTHING:
        return f"--{option}"
    return f"--{option} {value.isoformat() if isinstance(value, datetime) else value}"
