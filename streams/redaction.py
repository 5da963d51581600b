"""Texts without what is sensitive in them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

MASK: Final = "***"


def redacted(text: str, secrets: Iterable[str]) -> str:
    """A text without these, the longest first; as they are, and as `repr` writes them."""
    for secret in sorted(secrets, key=len, reverse=True):
        text = text.replace(secret, MASK)
        text = text.replace(repr(secret)[1:-1], MASK)
    return text
