"""When what one worker says of its settings is taken as true of all."""

from __future__ import annotations

import asyncio
import time

import pytest

from streams.supervisor import children as module
from streams.supervisor.children import LASTING, MISCONFIGURED, Child, Children


def test_a_process_lasts_while_it_runs_not_only_once_it_has_ended() -> None:
    child = Child(1, began=100.0, is_over=False)
    assert not child.lasts(100.0 + LASTING)
    assert child.lasts(100.1 + LASTING)


def test_a_process_that_ended_early_does_not_last_for_having_begun_long_ago() -> None:
    assert not Child(1, began=100.0, is_over=True).lasts(1_000.0)


def test_a_worker_one_of_whose_processes_lasted_is_known_to_run_well() -> None:
    assert Child(1, began=990.0, is_over=False, has_lasted=True).lasts(1_000.0)
    assert Child(1, has_lasted=True).lasts(1_000.0)


@pytest.mark.parametrize("has_lasted", [False, True])
async def test_one_that_finds_its_settings_wrong_ends_the_others_only_if_none_runs_well(
    monkeypatch: pytest.MonkeyPatch, has_lasted: bool
) -> None:
    monkeypatch.setattr(module, "PAUSES", (3_600.0,))
    family = Children(2, {}, "", grace=1.0)
    told, waits = asyncio.Event(), asyncio.Event()

    async def run_once(child: Child) -> int:
        if child.number == 2:
            return MISCONFIGURED
        if has_lasted:  # it has run for an hour
            child.began = time.monotonic() - 3_600
        await told.wait()
        return 0

    async def wait(seconds: float) -> bool:
        waits.set()
        await told.wait()
        return True

    monkeypatch.setattr(family, "_run_once", run_once)
    monkeypatch.setattr(family, "_is_told_to_end_within", wait)
    monkeypatch.setattr(family, "_signal", lambda number: told.set())
    running = asyncio.create_task(family.run())
    if has_lasted:
        await waits.wait()
        assert not told.is_set()
        family.end(module.signal.SIGTERM)
    assert await running == (0 if has_lasted else MISCONFIGURED)
