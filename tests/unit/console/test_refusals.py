"""What a request is refused for is told in words that say what to do."""

from __future__ import annotations

import pytest
from offline import Offline


async def test_a_page_or_call_that_is_none_is_told_with_where_to_look(shop: Offline) -> None:
    page = await shop.http.get("/ui/nothing", headers={"accept": "text/html"})
    call = await shop.http.get("/nothing")
    method = await shop.http.delete("/queues")

    assert page.status_code == call.status_code == 404
    assert "There is no such page" in page.text
    assert call.json()["detail"] == "there is no such call: all are in /openapi.json"
    assert method.status_code == 405
    assert method.json()["detail"] == "this can't be done with DELETE, but with GET"


@pytest.mark.parametrize(
    ("body", "detail"),
    [
        ({"name": "a", "delay": "10 minutes"}, "body.delay: '10 minutes' is no duration"),
        ({"name": "a", "nam": "b"}, "body.nam: there is no such field"),
        ({}, "body.name: it is missing"),
    ],
)
async def test_what_does_not_fit_is_told_in_plain_words(
    shop: Offline, body: dict[str, str], detail: str
) -> None:
    answer = await shop.http.post("/jobs", json=body)

    assert answer.status_code == 422
    assert answer.json()["detail"].startswith(detail)


async def test_an_empty_filter_is_told_with_what_to_do(shop: Offline) -> None:
    answer = await shop.http.get("/jobs?key=")

    assert answer.json()["detail"] == "query.key: it is empty: leave it out"


@pytest.mark.parametrize(
    ("path", "detail"),
    [
        ("/jobs?status=dead", "query.status: there is no such parameter; there are: cursor, "),
        ("/jobs?stat=dead", "query.stat: there is no such parameter; did you mean state?"),
        ("/dead-letters?jobs=mail", "query.jobs: there is no such parameter; did you mean job?"),
        ("/queues?name=mail", "query.name: there is no such parameter; there are: none"),
    ],
)
async def test_a_filter_that_there_is_not_is_refused(shop: Offline, path: str, detail: str) -> None:
    answer = await shop.http.get(path)

    assert answer.status_code == 422
    assert answer.json()["detail"].startswith(detail)


async def test_a_call_for_many_jobs_with_a_filter_that_there_is_not_does_nothing(
    shop: Offline,
) -> None:
    answer = await shop.http.post("/queues/default/purge?name=mail")

    assert answer.status_code == 422


async def test_filters_that_there_are_pass(shop: Offline) -> None:
    answer = await shop.http.get("/jobs?state=dead&limit=1&queue=default")

    assert answer.status_code == 200
