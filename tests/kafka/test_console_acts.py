"""What people and services do with queues, dead letters, events and schedules over HTTP."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx
import pytest
from cloudevents.core.bindings.http import to_binary, to_structured
from cloudevents.core.formats.json import JSONFormat
from cloudevents.core.v1.event import CloudEvent
from console_calls import client_of, until
from console_process import eventually
from console_shop import Shop, open_shop
from topics import read_all

from streams.wire.topics import TopicNames

SECRET = "of the clock"


@pytest.fixture(scope="module")
def shop(kafka: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    allowed = {"CRON_SECRET": SECRET, "STREAMS_EVENT_TOPICS": "foreign.event, not.there"}
    with open_shop(kafka, tmp_path_factory.mktemp("acts"), **allowed) as shop:
        yield shop


@pytest.fixture
async def client(shop: Shop) -> AsyncIterator[httpx.AsyncClient]:
    async with client_of(shop.console) as client:
        yield client


async def accepted(client: httpx.AsyncClient, **job: Any) -> str:
    said = await client.post("/jobs", json=job)
    assert said.status_code == 202, said.text
    return str(said.headers["location"])


async def test_a_paused_queue_starts_nothing_and_says_so(client: httpx.AsyncClient) -> None:
    # given a queue that is paused
    said = await client.post("/queues/bulk/pause", json={"reason": "a move"})
    assert said.status_code == 202, said.text

    async def is_paused() -> bool:
        (queue,) = [q for q in (await client.get("/queues")).json()["data"] if q["name"] == "bulk"]
        return bool(queue["paused"] and queue["paused"]["reason"] == "a move")

    await eventually(is_paused)
    # when a job comes, then it waits, for that reason
    path = await accepted(client, name="nap", payload={"steps": 0})

    async def says_why() -> bool:
        why = (await client.get(f"{path}/why")).json()["data"]
        return why["why"] == "paused" and "a move" in why["answer"]

    await eventually(says_why)
    # and goes on when the queue does
    assert (await client.post("/queues/bulk/resume")).status_code == 202
    await until(client, path, "completed")
    assert (await client.post("/queues/nope/pause")).status_code == 404


async def test_dead_letters_are_counted_previewed_replayed_and_discarded(
    client: httpx.AsyncClient, shop: Shop
) -> None:
    # given two that failed
    paths = [
        await accepted(client, name="charge", payload={"account": account}) for account in (-1, -2)
    ]
    for path in paths:
        await until(client, path, "dead")
    groups = (await client.get("/dead-letters", params={"by": "error"})).json()["data"]
    assert [(group["count"], group["jobs"]) for group in groups] == [(2, {"charge": 2})]
    listed = (
        await client.get("/dead-letters", params={"job": "charge", "error": "PermanentError"})
    ).json()["data"]
    assert {job["key"] for job in listed} == {"charge:-1", "charge:-2"}
    # when nothing is said of which
    assert (await client.post("/dead-letters/replay", json={})).status_code == 422
    # and when it is only previewed
    order = {"job": "charge", "key": "-1"}
    preview = await client.post("/dead-letters/replay", json={**order, "dry_run": True})
    assert preview.status_code == 200, preview.text
    assert preview.json()["data"]["counts"]["matching"] == 1
    # and when one is replayed, and the other one is discarded
    shop.mended.touch()
    begun = await client.post("/dead-letters/replay", json=order)
    assert begun.status_code == 202, begun.text

    async def is_done() -> bool:
        told = (await client.get(begun.headers["location"])).json()["data"]
        return told["state"] == "done" and told["counts"]["replayed"] == 1

    await eventually(is_done)
    await until(client, paths[0], "completed")
    begun = await client.post(
        "/dead-letters/discard", json={"job": "charge", "all": False, "reason": "obsolete"}
    )
    assert begun.status_code == 202, begun.text
    data = await until(client, paths[1], "discarded")
    assert data["failedReason"].endswith("the card is blocked") or data["reason"] == "obsolete"
    # then who did it is on record
    actions = (await client.get("/actions")).json()["data"]
    assert {each["what"] for each in actions} >= {"dlq replay", "dlq discard"}
    assert all(each["by"] for each in actions)


def event(**attributes: str) -> CloudEvent:
    given = {
        "specversion": "1.0",
        "type": "user.signed_up",
        "source": "/web",
        "datacontenttype": "application/json",
        **attributes,
    }
    return CloudEvent(attributes=given, data={"user_id": 42})


@pytest.mark.parametrize("mode", [to_binary, to_structured])
async def test_the_official_sdk_publishes_an_event_that_starts_a_job(
    client: httpx.AsyncClient, mode: Any, shop: Shop
) -> None:
    sent = mode(event(id=f"sdk-{mode.__name__}", subject="ärger % 1"), JSONFormat())
    said = await client.post("/events", content=sent.body, headers=sent.headers)
    assert said.status_code == 202, said.text
    (told,) = said.json()["data"]
    assert (told["id"], told["status"]) == (f"sdk-{mode.__name__}", "accepted")

    async def has_run() -> bool:
        page = (await client.get("/jobs", params={"parent": told["id"]})).json()["data"]
        return [job["state"] for job in page] == ["completed"]

    await eventually(has_run)
    (record,) = [
        each
        for each in await read_all(shop.kafka, TopicNames(shop.prefix).event("user.signed_up"))
        if dict(each.headers)["ce_id"] == told["id"].encode()
    ]
    told_headers = dict(record.headers)
    assert told_headers["ce_source"] == b"/web"
    assert told_headers["ce_subject"] == "ärger % 1".encode()
    assert record.key == b"42"
    assert json.loads(record.value) == {"user_id": 42}


async def test_a_batch_of_events_is_all_or_nothing(client: httpx.AsyncClient) -> None:
    events = [json.loads(to_structured(event(id=id), JSONFormat()).body) for id in ("b1", "b2")]
    headers = {"content-type": "application/cloudevents-batch+json"}
    said = await client.post("/events", content=json.dumps(events), headers=headers)
    assert [each["id"] for each in said.json()["data"]] == ["b1", "b2"]
    events[1]["data"] = {"user_id": "many"}
    said = await client.post("/events", content=json.dumps(events), headers=headers)
    assert said.status_code == 422
    assert said.json()["field"] == "data.user_id"
    assert (await client.post("/events", content="[]", headers=headers)).json() == {"data": []}


@pytest.mark.parametrize(
    ("change", "names"),
    [
        ({"type": "jobs.control"}, "type"),
        ({"type": "__consumer_offsets"}, "type"),
        ({"type": "a b"}, "type"),
        ({"type": "nobody.knows"}, "type"),
        ({"type": "not.there"}, "type"),
        ({"specversion": "0.3"}, "specversion"),
        ({"id": ""}, "id"),
        ({"source": None}, "source"),
        ({"time": "noon"}, "time"),
        ({"queue": "bulk"}, "queue"),
        ({"Odd-Name": "x"}, "Odd-Name"),
        ({"data_base64": "x"}, "data"),
        ({"traceparent": {"no": "text"}}, "traceparent"),
    ],
)
async def test_what_is_no_event_of_ours_is_refused_by_name(
    client: httpx.AsyncClient, change: dict[str, Any], names: str
) -> None:
    sent = {"specversion": "1.0", "id": "1", "source": "/x", "type": "user.signed_up", "data": {}}
    said = await client.post(
        "/events",
        content=json.dumps({**sent, **change}),
        headers={"content-type": "application/cloudevents+json"},
    )
    assert said.status_code == 422, said.text
    assert said.json()["field"] == names


async def test_a_foreign_event_travels_as_it_is(client: httpx.AsyncClient, shop: Shop) -> None:
    headers = {
        "ce-id": "f1",
        "ce-source": "urn:x",
        "ce-type": "foreign.event",
        "ce-specversion": "1.0",
        "content-type": "text/plain",
    }
    said = await client.post("/events", content="not JSON", headers=headers)
    assert said.status_code == 202, said.text
    (record,) = await read_all(shop.kafka, TopicNames(shop.prefix).event("foreign.event"))
    assert record.value == b"not JSON"
    assert dict(record.headers)["content-type"] == b"text/plain"
    assert (await client.post("/events", content="x")).status_code == 422


async def test_schedules_are_told_paused_resumed_and_run(client: httpx.AsyncClient) -> None:
    async def known() -> Any:
        data = (await client.get("/schedules")).json()["data"]
        return data[0] if data else None

    await eventually(known)
    schedule = await known()
    assert schedule["pattern"] == "0 7 * * *"
    assert len(schedule["next"]) == 5
    path = f"/schedules/{schedule['name']}"
    assert (await client.post(f"{path}/pause", json={"reason": "moving"})).status_code == 202

    async def state() -> str:
        return str((await client.get(path)).json()["data"]["state"])

    async def is_paused() -> bool:
        return await state() == "paused"

    async def is_active() -> bool:
        return await state() == "active"

    await eventually(is_paused)
    # a clock elsewhere is told so, if it knows the secret
    called = f"/cron/{schedule['name']}"
    assert (await client.get(called)).status_code == 401
    auth = {"Authorization": f"Bearer {SECRET}"}
    said = await client.get(called, headers=auth)
    assert (said.status_code, said.headers["content-type"]) == (409, "application/problem+json")
    assert (await client.post(f"{path}/resume")).status_code == 202
    await eventually(is_active)
    called_twice = [(await client.post(called, headers=auth)).json()["jobId"] for _ in range(2)]
    assert called_twice[0] == called_twice[1]
    ran = await client.post(f"{path}/run")
    await until(client, f"/jobs/{ran.json()['jobId']}", "completed")
    assert (await client.post("/schedules/nobody/run")).status_code == 404


async def test_who_works_and_how_well_is_told(client: httpx.AsyncClient) -> None:
    async def there() -> Any:
        return (await client.get("/workers")).json()["data"]

    await eventually(there)
    (worker,) = await there()
    assert sorted(worker["partitions"]) == ["bulk", "critical", "default"]
    health = await client.get("/health")
    assert (health.status_code, health.json()["healthy"]) == (200, True)
    metrics = (await client.get("/metrics")).text
    assert 'streams_console_requests_total{method="GET",route="/health",status="200"}' in metrics
    assert "streams_console_connected 1.0" in metrics
    assert 'streams_console_jobs{queue="default",state="completed"}' in metrics
