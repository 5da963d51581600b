"""Jobs that the clock enqueues, and some that it could."""

from __future__ import annotations

import asyncio
import os
import time

import effects

from streams import Cron, Event, Every, JobPayload, Tick, job


class Invoice(JobPayload, name="invoice", key="account", queue="bulk"):
    account: int
    note: str = ""


class Closed(Event, type="account.closed"):
    account: int


def tell(tick: Tick) -> None:
    """A line with the schedule, when the tick was for, when it ran, what it stands for, where."""
    effects.write(
        f"{tick.schedule} {int(tick.time.timestamp() * 1000)} {time.time_ns() // 1_000_000} "
        f"{tick.missed} {tick.is_manual} {os.environ.get('WORKER', '')}"
    )


@job(name="yearly", cron=Cron("0 0 1 1 *", tz="Europe/Berlin"))
async def yearly(tick: Tick) -> None:
    tell(tick)


@job(name="spread", cron=Every("6h", jitter="5m", overlap="allow"))
async def spread(tick: Tick) -> None:
    tell(tick)


@job(name="long", cron=Cron("0 0 1 1 *", overlap="cancel_previous"))
async def long(tick: Tick) -> None:
    tell(tick)
    await asyncio.Event().wait()


@job(name="taker")
async def taker(tick: Tick) -> None:
    tell(tick)


@job
async def send_invoice(invoice: Invoice) -> int:
    effects.write(f"invoice {invoice.account} {invoice.note}")
    return invoice.account


@job(name="on_closed")
async def on_closed(event: Closed) -> None: ...
