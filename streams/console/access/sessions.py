"""Sessions of people: a signed cookie that ends, and what forms carry against forged requests."""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import orjson

from streams.console.access.ended import EndedSessions
from streams.console.access.tokens import Token
from streams.errors import SettingsError

COOKIE: Final = "streams_session"
_COOKIE_MAX: Final = 2_000
_KEY_BYTES: Final = 32
_DIGEST_KEPT: Final = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """One that was signed in; `until` in seconds since the epoch."""

    id: str
    token: Token
    until: int


class Sessions:
    """Makes cookies, and reads those that it made. They end with their token."""

    def __init__(
        self,
        key: bytes,
        tokens: Sequence[Token],
        lasts_s: int,
        ended: EndedSessions | None = None,
    ) -> None:
        self._key = key
        self._tokens = tokens
        self.lasts_s = lasts_s
        self._ended = EndedSessions() if ended is None else ended  # else in memory alone

    def begin(self, token: Token, now: int) -> str:
        """The cookie of a new session; `now` in seconds since the epoch."""
        content = {
            "id": secrets.token_urlsafe(16),
            "name": token.name,
            "digest": token.digest[:_DIGEST_KEPT],
            "until": now + self.lasts_s,
        }
        body = urlsafe_b64encode(orjson.dumps(content)).decode()
        return f"{body}.{self._sign('session', body)}"

    def read(self, cookie: str, now: int) -> Session | None:
        """The session of a cookie; None if it is over, or was not made here."""
        body, _, signature = cookie.partition(".")
        if len(cookie) > _COOKIE_MAX or not cookie.isascii():
            return None
        if not hmac.compare_digest(self._sign("session", body), signature):
            return None
        try:
            content = orjson.loads(urlsafe_b64decode(body))
        except ValueError:
            return None
        if content["until"] <= now or content["id"] in self._ended:
            return None
        for token in self._tokens:
            if (token.name, token.digest[:_DIGEST_KEPT]) == (content["name"], content["digest"]):
                return Session(id=content["id"], token=token, until=content["until"])
        return None

    def end(self, session: Session, now: int) -> None:
        """Nobody has it any more, whoever kept the cookie."""
        self._ended.add(session.id, session.until, now)

    def form_token(self, session_id: str) -> str:
        """What forms of a session carry, which no page of others can know."""
        return self._sign("form", session_id)

    def fits_form(self, session_id: str, given: str | None) -> bool:
        """Whether this is what forms of this session carry."""
        text = given if given is not None and given.isascii() else ""
        return hmac.compare_digest(self.form_token(session_id), text)

    def _sign(self, what: str, text: str) -> str:
        return hmac.new(self._key, f"{what}:{text}".encode(), hashlib.sha256).hexdigest()


def session_key(data_dir: str) -> bytes:
    """The key in the directory of a console, made when there is none.

    Raises:
        SettingsError: it can't be read or written.
    """
    path = Path(data_dir) / "console" / "session.key"
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except FileExistsError:
            key = path.read_bytes()
            if len(key) >= _KEY_BYTES:
                return key
            # Somebody was interrupted while it was made: nobody can have a session of it.
            path.unlink(missing_ok=True)
            return session_key(data_dir)
        with os.fdopen(descriptor, "wb") as file:
            key = secrets.token_bytes(_KEY_BYTES)
            file.write(key)
        return key
    except OSError as error:
        raise SettingsError(f"STREAMS_DATA_DIR: {path} can't be used: {error.strerror}") from error
