"""The worker's app beside Faust's: nothing of it is hidden, nothing that it raises goes unseen."""

from __future__ import annotations

import inspect
import re
from typing import Any

import faust
import pytest

from streams.jobs.registry import Registry
from streams.kafka.worker import JobsApp
from streams.settings import Settings


@pytest.fixture
async def app() -> JobsApp:
    return JobsApp(Settings(), Registry([], ["default"]))


async def test_no_attribute_of_ours_takes_the_place_of_one_of_fausts() -> None:
    theirs = {*dir(faust.App), *vars(faust.App("bare"))}
    ours = set(re.findall(r"self\.(\w+)(?:: [^=\n]+)? = ", inspect.getsource(JobsApp)))
    assert "engine" in ours
    assert not ours & theirs


@pytest.mark.parametrize("step", ["assigned", "revoked"])
async def test_what_faust_raises_in_a_rebalance_ends_the_worker(
    app: JobsApp, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    told: list[BaseException] = []

    async def fail(self: Any, *_: Any) -> None:
        raise RuntimeError("Faust's own")

    async def nothing(*_: Any) -> None: ...

    monkeypatch.setattr(faust.App, f"_on_partitions_{step}", fail)
    monkeypatch.setattr(app, "_end_with", told.append)
    monkeypatch.setattr(app, "_take_assignment", nothing)
    await getattr(app, f"_on_partitions_{step}")(set())
    assert "Faust's own" in str(told[-1])
