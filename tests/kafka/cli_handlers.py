"""Handlers that the command line's tests make succeed, fail and wait."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

from streams import Event, JobContext, JobPayload, PermanentError, job


class Charge(JobPayload, name="charge", key="account"):
    account: int


class Refund(JobPayload, name="refund", key="account", queue="bulk"):
    account: int


class Nap(JobPayload, name="nap"):
    pass


class Ordered(Event, type="shop.ordered", key="order"):
    order: int


def _refuse_until_mended() -> None:
    if not Path(os.environ["MENDED"]).exists():
        raise PermanentError("the card is blocked")


@job
async def charge(payload: Charge) -> int:
    if payload.account < 0:
        _refuse_until_mended()
    return payload.account


@job
async def refund(payload: Refund) -> int:
    _refuse_until_mended()
    return payload.account


@job
async def nap(payload: Nap) -> None:
    await asyncio.Event().wait()


@job
async def ship(event: Ordered, ctx: JobContext) -> int:
    return event.order
