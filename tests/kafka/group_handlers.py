"""An event with a subscriber in each of two queues, for workers of two groups."""

from __future__ import annotations

import os

import effects

from streams import Event, job


class Sold(Event, type="sold", key="account"):
    account: int
    n: int


def _tell(name: str, event: Sold) -> None:
    effects.write(f"end {name} {event.account} {event.n} {os.getpid()}")


@job(queue="billing")
async def bill(event: Sold) -> None:
    _tell("bill", event)


@job(queue="shipping")
async def ship(event: Sold) -> None:
    _tell("ship", event)
