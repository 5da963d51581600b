"""Texts without what is sensitive in them."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Final
from urllib.parse import quote, quote_plus

MASK: Final = "***"
_LONG: Final = 24  # characters of a secret of which pieces are looked for as well
_PIECE: Final = 12  # the least that libraries leave of a text which they cut in its middle


def redacted(text: str, secrets: Iterable[str]) -> str:
    """A text without these, the longest first: as they are, and as they are quoted.

    Of a long one its beginning and its end do not stay either: who writes messages cuts texts.
    """
    ordered = sorted(secrets, key=len, reverse=True)
    for secret in ordered:
        for form in _forms(secret):
            text = text.replace(form, MASK)
    for secret in ordered:
        if len(secret) >= _LONG:
            text = _without_ends(_without_beginnings(text, secret), secret)
    return text


def _forms(secret: str) -> list[str]:
    """How it may stand in a message, the longest first: plain, in quotes, in JSON, in a URL."""
    if secret.isascii() and secret.isalnum():
        return [secret]
    forms = {
        secret,
        repr(secret)[1:-1],
        json.dumps(secret)[1:-1],
        json.dumps(secret, ensure_ascii=False)[1:-1],
        quote(secret, safe="", errors="replace"),
        quote_plus(secret, errors="replace"),
    }
    return sorted(forms, key=len, reverse=True)


def _without_beginnings(text: str, secret: str) -> str:
    piece, behind = secret[:_PIECE], 0
    kept: list[str] = []
    while (at := text.find(piece, behind)) >= 0:
        size = _PIECE
        while size < len(secret) and text[at + size : at + size + 1] == secret[size]:
            size += 1
        kept += text[behind:at], MASK
        behind = at + size
    return "".join((*kept, text[behind:]))


def _without_ends(text: str, secret: str) -> str:
    return _without_beginnings(text[::-1], secret[::-1])[::-1]
