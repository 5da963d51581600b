"""The secret that callers of schedules have."""

from __future__ import annotations

import hmac
from pathlib import Path

from streams.errors import SettingsError
from streams.settings import Settings


def read_secret(settings: Settings) -> bytes:
    """What CRON_SECRET or the file of CRON_SECRET_FILE says; empty if neither is set.

    White space around it is dropped: no header could carry it.

    Raises:
        SettingsError: both are set, or the file can't be read.
    """
    given = settings.cron_secret.get_secret_value().strip()
    if not settings.cron_secret_file:
        return given.encode()
    if given:
        raise SettingsError("CRON_SECRET and CRON_SECRET_FILE are both set: leave one of them out")
    try:
        return Path(settings.cron_secret_file).read_bytes().strip()
    except OSError as error:
        raise SettingsError(
            f"CRON_SECRET_FILE={settings.cron_secret_file!r} can't be read: {error.strerror}"
        ) from None


def has_secret(authorization: bytes | None, secret: bytes) -> bool:
    """Whether a header says `Bearer` and the secret; never if there is none.

    How long this takes says nothing about how much of it was right.
    """
    scheme, _, token = (authorization or b"").strip().partition(b" ")
    is_same = hmac.compare_digest(token.strip(), secret)
    return is_same and bool(secret) and scheme.lower() == b"bearer"
