"""Kafka stopped and started under load: calls are bounded, nothing that was accepted is lost."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Final

import httpx
from console_calls import client_of
from console_process import ConsoleProcess, eventually
from topics import create_topics, read_all

from streams.dev.broker import LocalBroker
from streams.wire.topics import TopicNames

BOUND_S: Final = 12.0


async def test_a_console_outlives_its_broker(prefix: str, tmp_path: Path) -> None:
    with LocalBroker(tmp_path / "broker", heap="256m") as broker:
        await create_topics(broker.bootstrap, prefix)
        with ConsoleProcess(
            broker.bootstrap, prefix, "console_handlers", tmp_path / "c"
        ) as console:
            async with client_of(console, limits=httpx.Limits(max_connections=50)) as client:
                accepted: list[str] = []
                refused: list[str] = []
                slowest = 0.0
                ending = asyncio.Event()

                async def load(number: int) -> None:
                    nonlocal slowest
                    count = 0
                    while not ending.is_set():
                        id = f"{number}-{count}"
                        count += 1
                        began = time.monotonic()
                        said = await client.post(
                            "/jobs",
                            json={"name": "charge", "payload": {"account": number}, "id": id},
                        )
                        slowest = max(slowest, time.monotonic() - began)
                        if said.status_code == 202:
                            accepted.append(id)
                            continue
                        # then it says so, when to come again, and with which id that is safe
                        assert said.status_code == 503, said.text
                        assert int(said.headers["retry-after"]) > 0
                        assert said.json()["jobIds"] == [id]
                        refused.append(id)

                loads = [asyncio.create_task(load(number)) for number in range(10)]

                async def some() -> bool:
                    return len(accepted) > 50

                await eventually(some)
                # when the broker is gone
                await asyncio.to_thread(broker.kill)

                async def some_refused() -> bool:
                    return len(refused) >= 10

                await eventually(some_refused, 60)
                # then what needs it says so in time, and what does not is answered
                asked = ("/jobs/nobody", "/actions", f"/jobs/{accepted[0]}")
                began = time.monotonic()
                said = await asyncio.gather(*(client.get(path) for path in asked * 5))
                assert {each.status_code for each in said} <= {503, 200}, [s.text for s in said]
                for each in said:
                    if each.status_code == 503:
                        assert int(each.headers["retry-after"]) > 0, each.text
                paused = await client.post("/queues/bulk/pause")
                assert paused.status_code == 503, paused.text
                assert time.monotonic() - began < 2.5 * BOUND_S
                assert (await client.get("/live")).status_code == 200
                assert (await client.get("/jobs")).status_code == 200

                async def is_not_ready() -> bool:
                    return (await client.get("/ready")).status_code == 503

                await eventually(is_not_ready, 60)
                # and when it is back, all goes on
                before = len(accepted)
                await asyncio.to_thread(broker.start)

                async def goes_on() -> bool:
                    return len(accepted) > before + 50

                await eventually(goes_on, 120)
                ending.set()
                await asyncio.gather(*loads)

                async def is_read() -> bool:
                    found = await client.get(f"/jobs/{accepted[-1]}")
                    assert found.status_code in (200, 503), found.text
                    return found.status_code == 200

                await eventually(is_read, 60)
        # and each that was accepted is in its queue
        queue = TopicNames(prefix).queue("default")
        there = {
            dict(each.headers)["ce_id"].decode() for each in await read_all(broker.bootstrap, queue)
        }
        assert set(accepted) <= there
        assert slowest < BOUND_S
