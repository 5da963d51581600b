"""E-mail that people asked for: handlers, and the mailer that they send with."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from email.message import EmailMessage
from typing import Final

from aiosmtplib import (
    SMTP,
    SMTPException,
    SMTPRecipientsRefused,
    SMTPResponseException,
)

from schemas.users import UserSignedUp
from streams import Exponential, JobContext, PermanentError, Retry, job

_SENDER: Final = "hello@example.org"
_TIMEOUT_S: Final = 20.0


@job(
    queue="critical",
    retry=Retry(attempts=5, backoff=Exponential(base="1s", cap="10m")),
    timeout="30s",
)
async def send_welcome_email(user: UserSignedUp, ctx: JobContext) -> str:
    """Welcome a new user; the message's id is the job's result."""
    return await Mailer.from_environment().send(
        user.email,
        subject="Welcome",
        text="Your account is ready. We are glad that you are here.\n",
        idempotency_key=ctx.idempotency_key,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Mailer:
    """Hands messages to one SMTP server."""

    host: str
    port: int

    @classmethod
    def from_environment(cls) -> Mailer:
        """The server at SMTP_HOST and SMTP_PORT (127.0.0.1:1025)."""
        # Read when sending, so that importing this module depends on nothing.
        return cls(
            host=os.environ.get("SMTP_HOST", "127.0.0.1"),
            port=int(os.environ.get("SMTP_PORT", "1025")),
        )

    async def send(self, to: str, *, subject: str, text: str, idempotency_key: str) -> str:
        """Send one message; its Message-ID, the same each time the same job sends it.

        Raises:
            PermanentError: the server said 5xx: another try would get the same answer.
            SMTPException: a 4xx answer, or no connection: worth another try.
        """
        message = EmailMessage()
        message["From"] = _SENDER
        message["To"] = to
        message["Subject"] = subject
        message["Message-ID"] = message_id(idempotency_key)
        message.set_content(text)
        try:
            async with SMTP(hostname=self.host, port=self.port, timeout=_TIMEOUT_S) as smtp:
                await smtp.send_message(message)
        except SMTPException as error:
            if is_permanent(error):
                raise PermanentError(f"{to}: {describe(error)}") from error
            raise
        return str(message["Message-ID"])


def message_id(idempotency_key: str) -> str:
    """A Message-ID by which a receiving server can drop what it has already."""
    digest = hashlib.sha256(idempotency_key.encode()).hexdigest()[:32]
    return f"<{digest}@{_SENDER.partition('@')[2]}>"


def is_permanent(error: SMTPException) -> bool:
    """Whether every answer in it is 5xx; no answer at all is not."""
    codes = [answer.code for answer in _answers(error)]
    return bool(codes) and all(500 <= code < 600 for code in codes)


def describe(error: SMTPException) -> str:
    """The server's own words."""
    return "; ".join(f"{a.code} {a.message}" for a in _answers(error)) or str(error)


def _answers(error: SMTPException) -> list[SMTPResponseException]:
    if isinstance(error, SMTPRecipientsRefused):
        return list(error.recipients)
    return [error] if isinstance(error, SMTPResponseException) else []
