"""Tokens, kept as digests; two of one name are valid while one replaces the other.

An entry is written `name:scopes:digest`, with scopes joined by `+` and the SHA-256 of the token in
hexadecimal digits. A token has 256 bits, so that a plain digest tells nothing about it.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from streams.errors import SettingsError
from streams.settings import Settings

READ: Final = "read"
ACT: Final = "act"
EMIT: Final = "emit"
SCOPES: Final = (READ, ACT, EMIT)

_PREFIX: Final = "streams_"  # by which scanners for secrets know one
_NAME: Final = re.compile(r"[A-Za-z0-9._@-]{1,64}")
_DIGEST: Final = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """One entry."""

    name: str
    scopes: frozenset[str]
    digest: str

    def line(self) -> str:
        """As it is written in the settings."""
        scopes = "+".join(scope for scope in SCOPES if scope in self.scopes)
        return f"{self.name}:{scopes}:{self.digest}"


def new_token(name: str, scopes: Iterable[str]) -> tuple[str, Token]:
    """A token that nobody has yet, and its entry.

    Raises:
        SettingsError: the name or a scope may not be.
    """
    told = _PREFIX + secrets.token_urlsafe(32)
    return told, read_token(f"{name}:{'+'.join(scopes)}:{digest_of(told)}")


def digest_of(token: str) -> str:
    """What is kept of a token."""
    return hashlib.sha256(token.encode(errors="surrogatepass")).hexdigest()


def read_token(line: str) -> Token:
    """One entry.

    Raises:
        SettingsError: it is none; the message does not show it, as it may be a token.
    """
    parts = line.strip().split(":")
    if len(parts) != 3:
        raise SettingsError(f"a token is written name:scopes:digest; {_REMEDY}")
    name, words, digest = parts
    if not _NAME.fullmatch(name):
        raise SettingsError(
            f"the name of a token is up to 64 letters, digits, dots and hyphens; {_REMEDY}"
        )
    scopes = frozenset(filter(None, words.split("+")))
    if not scopes or scopes - frozenset(SCOPES):
        raise SettingsError(
            f"token {name}: its scopes are some of {', '.join(SCOPES)}, joined by +; {_REMEDY}"
        )
    if not _DIGEST.fullmatch(digest):
        raise SettingsError(
            f"token {name}: behind its scopes is the SHA-256 of it, not itself; {_REMEDY}"
        )
    return Token(name=name, scopes=scopes, digest=digest)


_REMEDY: Final = "`streams console token NAME` makes one"


def read_tokens(settings: Settings) -> tuple[Token, ...]:
    """All entries of STREAMS_CONSOLE_TOKENS and of the file of STREAMS_CONSOLE_TOKENS_FILE.

    In the file each has a line; empty lines, and what begins with #, are left out.

    Raises:
        SettingsError: one is none, or the file can't be read.
    """
    lines = list(settings.console_tokens)
    if settings.console_tokens_file:
        try:
            text = Path(settings.console_tokens_file).read_text()
        except (OSError, UnicodeDecodeError) as error:
            raise SettingsError(
                f"STREAMS_CONSOLE_TOKENS_FILE={settings.console_tokens_file!r} can't be read: "
                f"{error}"
            ) from None
        lines += [line for line in text.splitlines() if line.strip() and line.strip()[0] != "#"]
    return tuple(read_token(line) for line in lines)


def found(tokens: Sequence[Token], token: str) -> Token | None:
    """The entry of a token; how long this takes says nothing of how near it was."""
    digest = digest_of(token)
    match = None
    for each in tokens:
        if hmac.compare_digest(each.digest, digest):
            match = each
    return match
