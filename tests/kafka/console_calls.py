"""Calls of a console, as a service makes them."""

from __future__ import annotations

import time
from typing import Any

import httpx
from console_process import ConsoleProcess


def client_of(console: ConsoleProcess, **arguments: Any) -> httpx.AsyncClient:
    """A client for a console that runs."""
    return httpx.AsyncClient(base_url=console.url, timeout=60, **arguments)


async def until(
    client: httpx.AsyncClient, path: str, state: str, timeout_s: float = 60
) -> dict[str, Any]:
    """The job at a path once it is in this state: the console waits."""
    limit = time.monotonic() + timeout_s
    while True:
        answer = await client.get(path, params={"wait": "20s"})
        assert answer.status_code == 200, answer.text
        data: dict[str, Any] = answer.json()["data"]
        if data["state"] == state:
            return data
        assert time.monotonic() < limit, data
