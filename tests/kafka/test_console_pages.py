"""The dashboard in a real browser, beside a worker at work."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from importlib.resources import files
from pathlib import Path
from typing import Any

import httpx
import pytest
from browser_runtime import browser
from console_process import ConsoleProcess
from page_handlers import Count, Fail, Greet, Wobble
from playwright.async_api import Browser, ConsoleMessage, Page, async_playwright, expect
from worker_process import WorkerProcess

from streams.client import Handle, JobClient
from streams.console.access.tokens import new_token
from streams.wire.admin import apply_topics, open_admin
from streams.wire.producer import close_producer, open_producer, send
from streams.wire.topics import TopicNames, specs

QUEUES = ("critical", "default", "bulk")
SHOTS = Path(__file__).parent.parent.parent / ".streams" / "screenshots"
HOSTILE = """<script>document.title='owned'</script><img src=x onerror="document.title='owned'">"""
PHONE = {"width": 380, "height": 800}
WIDE = {"width": 1440, "height": 1000}


@pytest.fixture
async def topics(kafka: str, prefix: str) -> None:
    async with open_admin(kafka) as admin:
        await apply_topics(admin, specs(TopicNames(prefix), QUEUES, [], 2))


@pytest.fixture
def worker(kafka: str, prefix: str, topics: None, tmp_path: Path) -> Iterator[WorkerProcess]:
    with WorkerProcess(kafka, prefix, "page_handlers", tmp_path, STREAMS_GRACE="1s") as process:
        yield process


@pytest.fixture
def console(
    kafka: str, prefix: str, worker: WorkerProcess, tmp_path: Path
) -> Iterator[ConsoleProcess]:
    with ConsoleProcess(kafka, prefix, "page_handlers", tmp_path) as process:
        yield process


@pytest.fixture
async def client(kafka: str, prefix: str, worker: WorkerProcess) -> AsyncIterator[JobClient]:
    async with JobClient(kafka, source="test", prefix=prefix) as jobs:
        yield jobs


@pytest.fixture
async def chromium() -> AsyncIterator[Browser]:
    async with async_playwright() as playwright:
        opened = await playwright.chromium.launch(
            executable_path=await asyncio.to_thread(browser), args=["--no-sandbox"]
        )
        yield opened
        await opened.close()


@pytest.fixture
async def page(chromium: Browser, console: ConsoleProcess) -> AsyncIterator[Page]:
    """A page that fails its test if a script does, or asks somebody else for something."""
    url = console.url
    opened = await chromium.new_page(base_url=url, viewport=WIDE)
    wrong: list[str] = []
    opened.on("pageerror", lambda error: wrong.append(f"script: {error}"))
    opened.on("console", lambda said: wrong.append(said.text) if is_wrong(said) else None)
    opened.on(
        "request",
        lambda asked: None if asked.url.startswith((url, "data:")) else wrong.append(asked.url),
    )
    yield opened
    assert wrong == []


async def eventually(check: Callable[[], Awaitable[bool]], timeout_s: float = 30.0) -> None:
    """Until something is true."""
    async with asyncio.timeout(timeout_s):
        while not await check():
            await asyncio.sleep(0.05)


def is_wrong(said: ConsoleMessage) -> bool:
    """Whether a browser complains, but of a form that was refused, as it was meant to be."""
    return said.type == "error" and "status of 422" not in said.text


async def dead(handle: Handle) -> None:
    async def is_dead() -> bool:
        return (await handle.status()).state == "dead"

    await eventually(is_dead)


async def serious(page: Page) -> list[str]:
    """What axe finds on the page that keeps people from using it."""
    script = files("axe_playwright_python").joinpath("axe.min.js").read_text()
    await page.evaluate(script)
    found: dict[str, Any] = await page.evaluate("() => axe.run()")
    return [
        f"{each['id']}: {each['help']}: {json.dumps([node['target'] for node in each['nodes']])}"
        for each in found["violations"]
        if each["impact"] in ("serious", "critical")
    ]


async def test_a_job_is_found_and_everything_that_came_from_outside_is_text(
    page: Page, client: JobClient
) -> None:
    # given a job of which all that its sender decides is hostile
    handle = await client.enqueue(Greet(person=HOSTILE, text=HOSTILE), id=f"greet-{HOSTILE}")
    await handle.result(timeout="30s")

    # when it is sought by its id
    await page.goto("/")
    await page.keyboard.press("/")
    await page.keyboard.type(handle.id)
    await page.keyboard.press("Enter")

    # then its page has it, and none of it was run
    await expect(page.get_by_role("heading", name="greet")).to_be_visible()
    await expect(page.get_by_text("completed").first).to_be_visible()
    assert HOSTILE in (await page.locator("pre").first.inner_text()).replace('\\"', '"')
    assert await page.locator("main script, main img").count() == 0
    for path in ("/", "/ui/jobs", f"/ui/jobs?q={HOSTILE}", "/ui/queues", "/ui/dead-letters"):
        await page.goto(path)
        assert "owned" not in await page.title(), path
        assert await page.locator("main img").count() == 0, path


async def test_progress_is_live_and_a_job_is_cancelled(page: Page, client: JobClient) -> None:
    # given a job that counts on and on
    handle = await client.enqueue(Count(what="sheep"))
    await page.goto("/ui/jobs?queue=bulk")
    await page.get_by_role("link", name="count").first.click()

    # when somebody looks on, then its progress moves by itself
    bar = page.get_by_role("progressbar")
    await expect(bar).to_be_visible(timeout=20_000)
    first = int(await bar.get_attribute("value") or 0)

    async def has_moved() -> bool:
        return int(await bar.get_attribute("value") or 0) > first

    await eventually(has_moved)

    # when it is cancelled, with a reason
    await page.get_by_role("button", name="Cancel").click()
    dialog = page.get_by_role("dialog")
    await dialog.get_by_label("Reason, kept with the job").fill("enough of them")
    await page.get_by_role("button", name="Cancel the job").click()

    # then the page shows that, with nobody loading it again
    await expect(page.locator(".state.cancelled")).to_be_visible(timeout=20_000)
    await expect(page.get_by_text("enough of them").first).to_be_visible()
    assert (await handle.status()).state == "cancelled"


async def test_a_dead_letter_is_edited_and_replayed(page: Page, client: JobClient) -> None:
    # given
    handle = await client.enqueue(Fail(what="door"))
    await dead(handle)
    await page.goto("/ui/dead-letters")
    await expect(page.get_by_text("no such thing: door").first).to_be_visible(timeout=10_000)
    await page.get_by_role("link", name="fail", exact=True).click()
    await page.get_by_role("link", name="Edit and replay").click()

    # when the payload does not fit, it is told why, and the letter stays
    box = page.get_by_label("Payload, as JSON")
    await box.fill('{"what": 7}')
    await page.get_by_role("button", name="Replay with this payload").click()
    await expect(page.get_by_role("alert")).to_contain_text("what")
    assert (await handle.status()).state == "dead"

    # when it is as it was, it runs again, and fails again
    await box.fill('{"what": "door"}')
    await page.get_by_role("button", name="Replay with this payload").click()

    async def is_replayed() -> bool:
        status = await handle.status()
        return status.generation == 1 and status.state == "dead"

    await eventually(is_replayed)
    await expect(page.get_by_text("in replay 1")).to_be_visible(timeout=10_000)


async def test_letters_are_discarded_together_after_a_look_at_how_many_it_is(
    page: Page, client: JobClient
) -> None:
    # given letters of one error
    handles = [await client.enqueue(Fail(what=f"door {number}")) for number in range(7)]
    for handle in handles:
        await dead(handle)
    await page.goto("/ui/dead-letters")
    await expect(page.get_by_role("cell", name="7", exact=True)).to_be_visible(timeout=10_000)

    # when somebody asks to discard them, then he is told how many these are
    await page.get_by_role("button", name="Discard", exact=True).click()
    dialog = page.get_by_role("dialog")
    await expect(dialog.get_by_role("heading", name="Discard 7 letters?")).to_be_visible()
    # and nothing has happened yet
    assert (await handles[0].status()).state == "dead"

    # when he goes on, then he sees how far it is, and what came of it
    await dialog.get_by_label("Reason, kept on record").fill("doors are gone")
    await dialog.get_by_role("button", name="Discard them").click()
    await expect(page.locator(".state.completed")).to_be_visible(timeout=30_000)
    await expect(page.get_by_text("doors are gone")).to_be_visible()
    for handle in handles:
        assert (await handle.status()).state == "discarded"
    await page.goto("/ui/actions")
    await expect(page.get_by_role("link", name="dlq discard")).to_be_visible()


async def test_what_nobody_could_read_is_there_as_well(
    page: Page, client: JobClient, kafka: str, prefix: str
) -> None:
    # given a record that is no job
    producer = await open_producer(kafka, "test")
    try:
        await send(
            producer, TopicNames(prefix).queue("default"), key=b"k", value=b"{}", partition=0
        )
    finally:
        await close_producer(producer)

    # then it is among the dead letters, with where it came from
    await page.goto("/ui/dead-letters")
    await expect(page.get_by_role("heading", name="What nobody could read")).to_be_visible(
        timeout=20_000
    )
    await expect(page.get_by_text(f"{prefix}jobs.default/0/0")).to_be_visible()


async def test_what_waits_is_cancelled_together(page: Page, client: JobClient) -> None:
    # given jobs that wait for their time, and others
    later = [
        await client.enqueue(Greet(person=f"p{number}"), delay="2h", id=f"late-{number}")
        for number in range(5)
    ]
    other = await client.enqueue(Greet(person="other"), delay="2h", id="other")

    # when those with a text are cancelled
    await page.goto("/ui/jobs?state=delayed&q=late-")
    await expect(page.get_by_role("link", name="greet")).to_have_count(5, timeout=10_000)
    await page.get_by_role("button", name="Cancel these").click()
    dialog = page.get_by_role("dialog")
    await expect(dialog.get_by_role("heading", name="Cancel 5 jobs?")).to_be_visible()
    await dialog.get_by_role("button", name="Cancel them").click()

    # then they are, and no other
    async def are_cancelled() -> bool:
        return all([(await each.status()).state == "cancelled" for each in later])

    await eventually(are_cancelled)
    assert (await other.status()).state == "scheduled"
    await expect(page.get_by_text("5 of 5")).to_be_visible(timeout=10_000)


async def test_what_can_not_be_shown_or_done_is_told_on_a_page(
    page: Page, client: JobClient, console: ConsoleProcess
) -> None:
    # given a job that is over
    handle = await client.enqueue(Greet(person="ada"))
    await handle.result(timeout="30s")
    async with httpx.AsyncClient(base_url=console.url) as http:
        asked = {"accept": "text/html", "origin": console.url}
        missing = await http.get("/ui/actions/none", headers=asked)
        late = await http.post(f"/ui/jobs/default/greet/{handle.id}/cancel", headers=asked)
        program = await http.get("/ui/actions/none")

    assert missing.status_code == 404
    assert "There is no action none." in missing.text
    assert late.status_code == 409
    assert "is completed already" in late.text
    assert program.headers["content-type"] == "application/problem+json"


async def test_letters_of_another_error_with_the_same_name_stay(
    page: Page, client: JobClient
) -> None:
    """What is done together is what the list shows, and no more."""
    await dead(await client.enqueue(Fail(what="door"), id="door"))
    await dead(await client.enqueue(Fail(what="window"), id="window"))
    await page.goto("/ui/dead-letters?q=window")
    await expect(page.get_by_role("link", name="fail")).to_have_count(1, timeout=10_000)
    await page.get_by_role("button", name="Discard these").click()
    dialog = page.get_by_role("dialog")
    await expect(dialog.get_by_role("heading", name="Discard 1 letter?")).to_be_visible()
    await dialog.get_by_role("button", name="Discard them").click()
    await expect(page.locator(".state.completed")).to_be_visible(timeout=30_000)
    await page.goto("/ui/dead-letters")
    await expect(page.get_by_text("no such thing: door").first).to_be_visible()
    await expect(page.get_by_text("no such thing: window")).to_have_count(0)


async def test_a_queue_is_paused_and_goes_on(
    page: Page, client: JobClient, worker: WorkerProcess
) -> None:
    await client.enqueue(Greet(person="ada"))
    await page.goto("/ui/queues")
    # when
    await page.get_by_role("button", name="Pause default").click()
    await expect(page.locator(".state.paused")).to_be_visible(timeout=10_000)
    await worker.until_said("queue default is paused")
    # then what is sent waits, and its page says for what
    waits = await client.enqueue(Greet(person="bob"), id="bob")
    await page.goto("/ui/search?q=bob")
    await expect(page.get_by_text("is paused since")).to_be_visible(timeout=10_000)
    # when it goes on
    await page.goto("/ui/queues")
    await page.get_by_role("button", name="Resume default").click()
    await waits.result(timeout="30s")


async def test_pages_can_be_used_by_everybody(page: Page, client: JobClient) -> None:
    """At every width, in light and dark, with a screen reader; screenshots are kept."""
    # given some of everything
    for number in range(30):
        await client.enqueue(Greet(person=f"person {number}"))
    failed = await client.enqueue(Fail(what="door"))
    retried = await client.enqueue(Wobble(what="table"))
    await client.enqueue(Count(what="sheep"))
    await client.enqueue(Greet(person="later"), delay="2h")
    await dead(failed)

    async def is_retried() -> bool:
        return (await retried.status()).state == "retrying"

    await eventually(is_retried)
    SHOTS.mkdir(parents=True, exist_ok=True)
    paths = {
        "overview": "/",
        "jobs": "/ui/jobs",
        "dead-letters": "/ui/dead-letters",
        "schedules": "/ui/schedules",
        "queues": "/ui/queues",
        "workers": "/ui/workers",
        "actions": "/ui/actions",
        "job-dead": f"/ui/jobs/default/fail/{failed.id}",
        "job-retrying": f"/ui/jobs/critical/wobble/{retried.id}",
    }
    for scheme in ("light", "dark"):
        await page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
        for name, path in paths.items():
            await page.set_viewport_size(WIDE)  # type: ignore[arg-type]
            await page.goto(path)
            await page.screenshot(path=SHOTS / f"{name}-{scheme}.png", full_page=True)
            assert await serious(page) == [], (name, scheme)
            # narrow, nothing sticks out
            await page.set_viewport_size(PHONE)  # type: ignore[arg-type]
            await page.screenshot(path=SHOTS / f"{name}-{scheme}-phone.png", full_page=True)
            width = await page.evaluate("document.documentElement.scrollWidth")
            assert width <= PHONE["width"], (name, width)
    # and by keyboard
    await page.set_viewport_size(WIDE)  # type: ignore[arg-type]
    await page.goto("/")
    await page.keyboard.press("g")
    await page.keyboard.press("j")
    await expect(page).to_have_url("/ui/jobs")
    await page.keyboard.press("?")
    await expect(page.get_by_role("heading", name="Keys")).to_be_visible()


async def test_who_has_a_token_signs_in_acts_and_signs_out(
    kafka: str,
    prefix: str,
    worker: WorkerProcess,
    tmp_path: Path,
    chromium: Browser,
    client: JobClient,
) -> None:
    # given a console that lets nobody in without a token
    told, entry = new_token("ada", ["read", "act"])
    await client.enqueue(Greet(person="ada"))
    folder = tmp_path / "closed"
    with ConsoleProcess(
        kafka, prefix, "page_handlers", folder, STREAMS_CONSOLE_TOKENS=entry.line()
    ) as console:
        opened = await chromium.new_page(base_url=console.url, viewport=WIDE)
        # when somebody comes without, he is asked for it, also with a wrong one
        await opened.goto("/ui/queues")
        await opened.get_by_label("Token").fill("nonsense")
        await opened.get_by_role("button", name="Sign in").click()
        await expect(opened.get_by_text("This is no token of this console.")).to_be_visible()
        assert await serious(opened) == []
        # with the right one he is where he wanted to go, and what he does is put down to him
        await opened.get_by_label("Token").fill(told)
        await opened.get_by_role("button", name="Sign in").click()
        await expect(opened).to_have_url("/ui/queues")
        await opened.get_by_role("button", name="Pause default").click()
        await expect(opened.locator(".state.paused")).to_be_visible(timeout=10_000)
        await opened.goto("/ui/actions")
        await expect(opened.get_by_role("cell", name="ada", exact=True)).to_be_visible()
        # a form without its secret is refused, though the browser sends the session
        refused = await opened.evaluate(
            "fetch('/ui/queues/default/resume', {method: 'POST'}).then((a) => a.status)"
        )
        assert refused == 403
        # when he signs out, he is out
        await opened.get_by_role("button", name="Sign out").click()
        await opened.goto("/ui/queues")
        await expect(opened.get_by_label("Token")).to_be_visible()
        assert told not in console.log
