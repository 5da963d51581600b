"""What happens to people's accounts."""

from __future__ import annotations

from pydantic import EmailStr

from streams.contracts import Event


class UserSignedUp(Event, type="user.signed_up", key="user_id"):
    """A person created an account."""

    user_id: int
    email: EmailStr
