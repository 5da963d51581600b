"""The gate in front of the console, called as a server calls it."""

from __future__ import annotations

import httpx
from starlette.responses import JSONResponse

from streams.console.access.gate import Gate, Rules
from streams.console.access.sessions import COOKIE, Sessions
from streams.console.access.tokens import new_token
from streams.console.paths import Receive, Scope, Send

TOKEN, ENTRY = new_token("web", ["read"])


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    await JSONResponse({"who": scope["state"]["who"]})(scope, receive, send)


def client_from(gate: Gate, address: str) -> httpx.AsyncClient:
    transport = httpx.ASGITransport(gate, client=(address, 1234))
    return httpx.AsyncClient(transport=transport, base_url="http://localhost")


def a_gate() -> Gate:
    sessions = Sessions(b"k" * 32, [ENTRY], 60)
    return Gate(
        app, Rules(tokens=(ENTRY,), sessions=sessions, hosts=frozenset(), operator="nobody")
    )


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


async def test_wrong_tokens_are_told_to_wait_and_right_ones_are_let_in() -> None:
    gate = a_gate()
    # given somebody who sends wrong tokens again and again
    async with client_from(gate, "192.0.2.1") as client:
        said = [await client.get("/jobs", headers=bearer("wrong")) for _ in range(7)]
        assert [each.status_code for each in said] == [401] * 5 + [429] * 2
        assert 0 < int(said[-1].headers["retry-after"]) <= 61
        # when another service behind the same address has a right one, then it is let in
        right = await client.get("/jobs", headers=bearer(TOKEN))
        assert (right.status_code, right.json()) == (200, {"who": "web"})
        # and whoever sends none is told what is missing
        assert (await client.get("/jobs")).status_code == 401
        assert (await client.get("/jobs", headers={"Cookie": f"{COOKIE}=x"})).status_code == 401
        assert (await client.get("/live", headers=bearer("wrong"))).status_code == 200


async def test_wrong_tokens_from_everywhere_keep_nobody_out() -> None:
    gate = a_gate()
    for number in range(100):
        async with client_from(gate, f"192.0.2.{number}") as client:
            assert (await client.get("/jobs", headers=bearer("wrong"))).status_code == 401
    async with client_from(gate, "198.51.100.1") as client:
        assert (await client.get("/jobs", headers=bearer(TOKEN))).status_code == 200
        assert (await client.get("/jobs", headers=bearer("wrong"))).status_code == 401
