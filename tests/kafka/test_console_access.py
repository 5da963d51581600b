"""Who may do what with a console: tokens, sessions, forms, pages of others."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import httpx
import pytest
from cli_process import Cli
from console_calls import client_of
from console_process import ConsoleProcess
from topics import create_topics

from streams.cli import exits
from streams.console.access.tokens import new_token

HANDLERS = "console_handlers"
READER, READERS_LINE = new_token("reader", ["read"])
OPERATOR, OPERATORS_LINE = new_token("ops", ["read", "act", "emit"])
NEXT, NEXT_LINE = new_token("ops", ["read", "act", "emit"])
SENDER, SENDERS_LINE = new_token("web", ["emit"])


@pytest.fixture(scope="module")
def console(kafka: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ConsoleProcess]:
    folder = tmp_path_factory.mktemp("access")
    asyncio.run(create_topics(kafka, "access.", events=("user.signed_up",)))
    file = folder / "tokens"
    file.write_text(f"# who may\n{SENDERS_LINE.line()}\n\n{NEXT_LINE.line()}\n")
    with ConsoleProcess(
        kafka,
        "access.",
        HANDLERS,
        folder,
        STREAMS_CONSOLE_TOKENS=f"{READERS_LINE.line()},{OPERATORS_LINE.line()}",
        STREAMS_CONSOLE_TOKENS_FILE=str(file),
        STREAMS_CONSOLE_BEHIND_PROXY="true",
    ) as console:
        yield console


@pytest.fixture
async def client(console: ConsoleProcess) -> AsyncIterator[httpx.AsyncClient]:
    async with client_of(console) as client:
        yield client


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


JOB = {"name": "charge", "payload": {"account": 1}}


@pytest.mark.parametrize(
    ("token", "looks", "acts", "emits"),
    [
        pytest.param(READER, 200, 403, 403, id="reads"),
        pytest.param(OPERATOR, 200, 202, 202, id="acts"),
        pytest.param(NEXT, 200, 202, 202, id="the next one of the same name"),
        pytest.param(SENDER, 403, 403, 202, id="emits"),
        pytest.param("wrong", 401, 401, 401, id="wrong"),
        pytest.param(OPERATORS_LINE.digest, 401, 401, 401, id="what is kept of one"),
    ],
)
async def test_a_token_may_what_its_scopes_say(
    client: httpx.AsyncClient, token: str, looks: int, acts: int, emits: int
) -> None:
    # Each from an address of its own: who sends wrong ones again and again has to wait.
    headers = {**bearer(token), "X-Forwarded-For": f"10.3.0.{len(token)}"}
    assert (await client.get("/jobs", headers=headers)).status_code == looks
    paused = await client.post("/queues/bulk/resume", headers=headers)
    assert paused.status_code == acts
    assert (await client.post("/jobs", json=JOB, headers=headers)).status_code == emits


async def test_without_a_token_only_probes_and_the_way_in_are_open(
    client: httpx.AsyncClient, console: ConsoleProcess
) -> None:
    for path in ("/live", "/ready", "/sign-in", "/static/console.css"):
        assert (await client.get(path)).status_code == 200, path
    document = (await client.get("/openapi.json", headers=bearer(READER))).json()
    for path in [*document["paths"], "/", "/ui/jobs", "/ui/queues", "/openapi.json", "/nobody"]:
        if path in ("/live", "/ready") or path.startswith("/cron/"):
            continue
        said = await client.get(path)
        assert said.status_code == 401, path
        assert said.headers["www-authenticate"] == "Bearer"
        said = await client.post(path)
        assert said.status_code == 401, path
    page = await client.get("/ui/jobs", headers={"accept": "text/html"})
    assert (page.status_code, page.headers["location"]) == (303, "/sign-in?next=/ui/jobs")


async def test_what_is_done_is_put_down_to_the_name_of_the_token(
    client: httpx.AsyncClient,
) -> None:
    path = "/queues/critical/pause"
    assert (await client.post(path, headers=bearer(NEXT))).status_code == 202
    told = (await client.get("/actions", headers=bearer(READER))).json()["data"]
    assert [(each["by"], each["what"]) for each in told if each["on"] == "critical"] == [
        ("ops", "queues pause")
    ]


async def signed_in(client: httpx.AsyncClient, **headers: str) -> str:
    said = await client.post("/sign-in", data={"token": OPERATOR, "next": "/x"}, headers=headers)
    assert (said.status_code, said.headers["location"]) == (303, "/x"), said.text
    return said.headers["set-cookie"]


async def test_people_sign_in_and_out(client: httpx.AsyncClient) -> None:
    cookie = await signed_in(client)
    assert {part.strip().lower() for part in cookie.split(";")[1:]} >= {
        "httponly",
        "samesite=strict",
        "path=/",
        "max-age=43200",
    }
    assert OPERATOR not in cookie
    assert "secure" not in cookie.lower()
    assert "secure" in (await signed_in(client, **{"X-Forwarded-Proto": "https"})).lower()
    client.cookies.clear()
    kept = cookie.partition(";")[0]
    client.headers["Cookie"] = kept
    page = await client.get("/ui/jobs", headers={"accept": "text/html"})
    assert page.status_code == 200
    # a form of ours says what no other page knows
    token = form_token(await client.get("/"))
    assert (await client.post("/queues/bulk/resume")).status_code == 403
    wrong = {"X-CSRF-Token": "0" * 64}
    assert (await client.post("/queues/bulk/resume", headers=wrong)).status_code == 403
    right = {"X-CSRF-Token": token}
    assert (await client.post("/queues/bulk/resume", headers=right)).status_code == 202
    out = await client.post("/sign-out", data={"csrf": token})
    assert (out.status_code, out.headers["location"]) == (303, "/sign-in")
    client.cookies.clear()
    assert (await client.get("/jobs")).status_code == 401  # though the cookie is still there


def form_token(page: httpx.Response) -> str:
    found = re.search(r'name="csrf" value="([0-9a-f]{64})"', page.text)
    assert found is not None, page.text[:500]
    return found[1]


async def test_a_session_that_was_not_made_here_is_none(client: httpx.AsyncClient) -> None:
    cookie = (await signed_in(client)).partition("=")[2].partition(";")[0]
    body, _, signature = cookie.partition(".")
    for forged in (body, f"{body}.", f"{body[:-4]}AAAA.{signature}", f"{body}.{'0' * 64}", "x" * 9):
        client.cookies.clear()
        said = await client.get("/jobs", headers={"Cookie": f"streams_session={forged}"})
        assert said.status_code == 401, forged


@pytest.mark.parametrize("next", ["//evil.example", "/\\evil.example", "https://evil.example", "x"])
async def test_signing_in_leads_nowhere_else(client: httpx.AsyncClient, next: str) -> None:
    said = await client.post("/sign-in", data={"token": OPERATOR, "next": next})
    assert said.headers["location"] == "/"


async def test_pages_of_others_may_not_call(client: httpx.AsyncClient) -> None:
    headers = bearer(OPERATOR)
    for origin in ("https://evil.example", "null", "http://127.0.0.1:1"):
        said = await client.post("/jobs", json=JOB, headers={**headers, "Origin": origin})
        assert said.status_code == 403, origin
    crossing = {**headers, "Sec-Fetch-Site": "cross-site"}
    assert (await client.post("/jobs", json=JOB, headers=crossing)).status_code == 403
    own = {**headers, "Origin": str(client.base_url).rstrip("/")}
    assert (await client.post("/jobs", json=JOB, headers=own)).status_code == 202
    asked = await client.options(
        "/jobs", headers={"Origin": "https://evil.example", "Access-Control-Request-Method": "GET"}
    )
    assert "access-control-allow-origin" not in asked.headers


async def test_whoever_guesses_has_to_wait(client: httpx.AsyncClient) -> None:
    guess = {"token": "<script>guess"}
    here = {"X-Forwarded-For": "10.1.1.1, 10.9.9.9"}
    said = [await client.post("/sign-in", data=guess, headers=here) for _ in range(6)]
    assert [each.status_code for each in said] == [401] * 5 + [429]
    assert 0 < int(said[-1].headers["retry-after"]) <= 61
    assert "<script>guess" not in said[0].text
    right = await client.post("/sign-in", data={"token": OPERATOR}, headers=here)
    assert right.status_code == 429
    await signed_in(client, **{"X-Forwarded-For": "10.2.2.2"})


async def test_no_answer_may_be_kept_or_framed_or_run_what_it_has_not(
    client: httpx.AsyncClient,
) -> None:
    for path in ("/jobs", "/nobody", "/sign-in", "/"):
        said = await client.get(path, headers=bearer(READER))
        assert said.headers["cache-control"] == "no-store", path
        assert said.headers["x-content-type-options"] == "nosniff"
        assert "unsafe" not in said.headers["content-security-policy"]
        assert "frame-ancestors 'none'" in said.headers["content-security-policy"]


async def test_tokens_are_in_no_log(client: httpx.AsyncClient, console: ConsoleProcess) -> None:
    headers = {**bearer(OPERATOR), "X-Request-ID": "trace-me"}
    said = await client.get("/jobs", params={"text": "hidden-query"}, headers=headers)
    assert said.headers["x-request-id"] == "trace-me"
    odd = await client.get("/nobody", headers={**bearer(OPERATOR), "X-Request-ID": "a b\x7f"})
    assert odd.headers["x-request-id"] == odd.json()["requestId"] != "a b\x7f"
    await signed_in(client)
    log = console.log
    assert "trace-me" in log
    for secret in (OPERATOR, READER, NEXT, SENDER, "hidden-query"):
        assert secret not in log


async def test_it_does_not_listen_for_others_without_a_token(kafka: str, tmp_path: Path) -> None:
    cli = Cli(kafka, "access.", HANDLERS)
    said = await cli.run(
        "console", "--host", "0.0.0.0", "--port", "0", STREAMS_DATA_DIR=str(tmp_path)
    )
    assert said.code == exits.USAGE
    assert "streams console token" in said.errors


async def test_a_token_is_made_and_shown_once(kafka: str) -> None:
    cli = Cli(kafka, "access.", HANDLERS)
    said = await cli.run("console", "token", "web", "--scope", "read,emit")
    token, *_, line = said.output.strip().splitlines()
    assert re.fullmatch(r"web:read\+emit:[0-9a-f]{64}", line)
    assert token.startswith("streams_")
    assert token not in line
    wrong = await cli.run("console", "token", "web", "--scope", "everything")
    assert wrong.code == exits.USAGE


async def test_on_loopback_without_tokens_it_is_called_by_its_own_name_alone(
    kafka: str, tmp_path: Path
) -> None:
    with ConsoleProcess(
        kafka, "access.", HANDLERS, tmp_path, STREAMS_CONSOLE_HOSTS="jobs.internal"
    ) as console:
        async with client_of(console) as client:
            assert (await client.get("/jobs")).status_code == 200
            for host in ("evil.example", "evil.example:80", "localhost.evil.example", "[::"):
                said = await client.get("/jobs", headers={"Host": host})
                assert said.status_code == 421, host
            for host in ("localhost:8001", "[::1]:8001", "jobs.internal", "Jobs.Internal:80"):
                said = await client.get("/jobs", headers={"Host": host})
                assert said.status_code == 200, host
            forged = {"Origin": "http://evil.example"}
            assert (await client.post("/jobs", json=JOB, headers=forged)).status_code == 403
