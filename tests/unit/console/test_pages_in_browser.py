"""Pages in a real browser, of a projection that was written beforehand."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from browser_runtime import browser
from offline import Offline, served
from playwright.async_api import Browser, Page, async_playwright, expect

JOB = "/ui/jobs/default/mail/dead-0"


@pytest.fixture
async def chromium() -> AsyncIterator[Browser]:
    async with async_playwright() as playwright:
        opened = await playwright.chromium.launch(
            executable_path=await asyncio.to_thread(browser), args=["--no-sandbox"]
        )
        yield opened
        await opened.close()


@pytest.fixture
async def address(shop: Offline) -> AsyncIterator[str]:
    async with served(shop) as url:
        yield url


@pytest.fixture
async def page(chromium: Browser, address: str) -> Page:
    return await chromium.new_page(base_url=address)


async def test_how_far_it_is_changes_by_itself_and_its_word_is_read_out_once(
    page: Page, shop: Offline
) -> None:
    progress = shop.console.feed._progress
    progress.begin(0, 0, 0, ("t", 0))
    await page.goto("/ui/schedules")
    word = page.get_by_role("status")
    await expect(page.locator("#lag")).to_have_text("Follows Kafka: up to date")
    await word.evaluate("node => { window.word = node.firstChild; }")
    # when it is a bit behind, then the number is another one, and the word is left as it was
    progress.ends_at(("t", 0), 7)
    await expect(page.locator("#lag")).to_have_text("Follows Kafka: 7 records behind")
    assert await word.evaluate("node => node.firstChild === window.word")
    # when it is far behind, then that is said
    progress.ends_at(("t", 0), 70_000)
    await expect(word).to_have_text("Behind Kafka")
    await expect(page.locator(".banner")).to_contain_text("records behind Kafka")


async def test_keys_are_turned_off_and_stay_so(page: Page) -> None:
    await page.goto("/")
    await page.keyboard.press("?")
    switch = page.get_by_role("checkbox", name="Use these keys")
    await expect(switch).to_be_checked()
    await switch.uncheck()
    await page.get_by_role("button", name="Close").click()
    # then keys do nothing, also on the next page
    for path in ("/", "/ui/jobs"):
        await page.goto(path)
        await page.keyboard.press("?")
        await page.keyboard.press("/")
        await page.keyboard.press("g")
        await page.keyboard.press("w")
        await expect(page.get_by_role("dialog")).to_have_count(0)
        await expect(page.get_by_role("searchbox")).not_to_be_focused()
        await expect(page).to_have_url(path)
    # until they are turned on again, which the mouse can as well
    await page.get_by_role("button", name="Keys ( ? )").click()
    await expect(switch).not_to_be_checked()
    await switch.check()
    await page.get_by_role("button", name="Close").click()
    await page.keyboard.press("g")
    await page.keyboard.press("w")
    await expect(page).to_have_url("/ui/workers")


async def test_a_dialog_asks_before_a_job_is_ended_and_is_left(page: Page) -> None:
    await page.goto(JOB)
    await page.get_by_role("button", name="Discard").click()
    dialog = page.get_by_role("dialog", name="Discard this dead letter?")
    await expect(dialog).to_be_visible()
    await expect(dialog.get_by_text("mail dead-0")).to_be_visible()
    await dialog.get_by_role("link", name="Leave it").click()
    await expect(dialog).to_have_count(0)
    await expect(page).to_have_url(JOB)


async def test_all_can_be_asked_for_without_scripts(chromium: Browser, address: str) -> None:
    context = await chromium.new_context(base_url=address, java_script_enabled=False)
    page = await context.new_page()
    # one job
    await page.goto(JOB)
    await page.get_by_role("button", name="Discard").click()
    await expect(page.get_by_role("heading", name="Discard this dead letter?")).to_be_visible()
    await expect(page.get_by_role("button", name="Discard it")).to_be_visible()
    await page.get_by_role("link", name="Leave it").click()
    await expect(page).to_have_url(JOB)
    # many
    await page.goto("/ui/dead-letters?q=dead-1")
    await page.get_by_role("button", name="Discard these").click()
    await expect(page.get_by_role("heading", name="Discard 1 letter?")).to_be_visible()
    await page.get_by_role("link", name="Leave it").click()
    await expect(page).to_have_url("/ui/dead-letters?q=dead-1")
    # and nothing is there that only a script can do
    for name in ("Keys ( ? )", "Switch between light and dark", "Copy the command"):
        await expect(page.get_by_role("button", name=name)).to_have_count(0)
