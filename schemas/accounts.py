"""What is asked of people's accounts."""

from __future__ import annotations

from pydantic import Field

from streams.contracts import JobPayload


class GrantCredit(JobPayload, name="accounts.grant_credit", key="account_id"):
    """Add credit to an account."""

    account_id: int
    cents: int = Field(gt=0)


class ImportCredits(JobPayload, name="accounts.import_credits"):
    """Add credit to many accounts."""

    lines: str  # of CSV: account_id, cents
