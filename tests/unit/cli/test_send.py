"""Which contract `streams emit` and `streams enqueue` send."""

from __future__ import annotations

import pytest

from streams import Event, JobPayload, job
from streams.cli.send import _event
from streams.errors import RegistrationError
from streams.jobs.discovery import handlers_among
from streams.jobs.registry import Registry


class AccountDeleted(Event, type="account.deleted", key="account"):
    account: str


class Sync(JobPayload, name="sync", key="account"):
    account: str


@job(cancel_on=AccountDeleted)
async def sync(payload: Sync) -> None: ...


def test_an_event_that_only_cancels_can_be_emitted() -> None:
    registry = Registry.build(handlers_among([sync]), ("default",))
    assert _event(registry, "account.deleted") is AccountDeleted


def test_an_event_that_nobody_knows_names_those_that_are() -> None:
    registry = Registry.build(handlers_among([sync]), ("default",))
    with pytest.raises(RegistrationError, match=r"'account.gone'; .*: account.deleted"):
        _event(registry, "account.gone")
