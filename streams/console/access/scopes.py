"""Which scope a request needs. What nobody has thought of needs one, too."""

from __future__ import annotations

from typing import Final

from streams.console.access.tokens import ACT, EMIT, READ

_OPEN: Final = frozenset(("/live", "/ready", "/sign-in", "/favicon.ico"))
_OPEN_BELOW: Final = ("/static/", "/cron/")  # those of /cron have a secret of their own
_EMITS: Final = frozenset(("/jobs", "/jobs/batch", "/events"))
_LOOKS: Final = frozenset(("GET", "HEAD", "OPTIONS"))


def is_open(path: str) -> bool:
    """Whether anybody may ask for it."""
    return path in _OPEN or path.startswith(_OPEN_BELOW)


def changes_something(method: str) -> bool:
    """Whether a request is more than a look."""
    return method not in _LOOKS


def needed(method: str, path: str) -> str | None:
    """The scope; None: any that there is, as for signing out."""
    if path == "/sign-out":
        return None
    if not changes_something(method):
        return READ
    return EMIT if path in _EMITS else ACT
