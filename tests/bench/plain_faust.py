"""The yardstick: the same jobs with plain Faust, as one would write it; one table write for each.

It validates the payload, awaits a handler that does nothing, and notes the job in a table. It has
no ids that run once, no order of keys, no retries, and its acknowledgements are Faust's.
"""

from __future__ import annotations

import os
from typing import Any

import faust
from pydantic import BaseModel

app = faust.App(
    os.environ["PLAIN_APP"],
    broker=f"kafka://{os.environ['PLAIN_BROKER']}",
    store="memory://",
    datadir=os.environ["PLAIN_DATA"],
    topic_partitions=8,
    topic_disable_leader=True,
    consumer_auto_offset_reset="earliest",
    web_enabled=False,
)


class Payload(BaseModel):
    """What the job carries."""

    account: int
    n: int
    email: str


jobs = app.topic(os.environ["PLAIN_TOPIC"], value_type=bytes, value_serializer="raw")
ledger = app.Table("ledger", partitions=8)


async def handle(payload: Payload) -> None:
    """Do nothing."""


@app.agent(jobs)
async def work(stream: Any) -> None:
    """Handle each job, and note that it is over."""
    async for event in stream.events():
        await handle(Payload.model_validate_json(event.value))
        ledger[event.headers["ce_id"].decode()] = {
            "state": "completed",
            "attempts": 1,
            "time": event.message.timestamp,
        }
