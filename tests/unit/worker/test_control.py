"""The control topic: commits of event partitions, and which group a queue belongs to."""

from __future__ import annotations

import asyncio

import pytest

from streams.errors import SettingsError
from streams.testing.memory import MemoryClock, MemoryLog
from streams.worker.control import Control, commit_key
from streams.worker.ports import Append

TOPIC = "jobs.control"
KEY = commit_key("workers", "user.signed_up", 3)


@pytest.fixture
def log() -> MemoryLog:
    return MemoryLog(MemoryClock(), partitions=1)


def write(log: MemoryLog, key: bytes, value: bytes | None) -> None:
    log.write(Append(TOPIC, 0, key, value))


async def test_the_last_commit_counts_and_is_found_by_a_refresh(log: MemoryLog) -> None:
    control = Control(log, TOPIC)
    await control.refresh()
    assert control.commit(KEY) == 0
    write(log, KEY, b"3")
    write(log, KEY, b"7")
    assert control.commit(KEY) == 0  # as of the last refresh
    await control.refresh()
    assert control.commit(KEY) == 7
    write(log, KEY, b"9")
    await control.refresh()
    assert control.commit(KEY) == 9
    write(log, KEY, None)
    await control.refresh()
    assert control.commit(KEY) == 0


async def test_commits_are_a_groups_a_topics_and_a_partitions_own(log: MemoryLog) -> None:
    write(log, KEY, b"7")
    control = Control(log, TOPIC)
    await control.refresh()
    others = [("urgent", "user.signed_up", 3), ("workers", "user", 3), ("workers", "user", 4)]
    assert [control.commit(commit_key(*other)) for other in others] == [0, 0, 0]


async def test_a_commit_that_is_no_number_is_none(log: MemoryLog) -> None:
    write(log, KEY, b"many")
    control = Control(log, TOPIC)
    await control.refresh()
    assert control.commit(KEY) == 0


async def test_a_queue_is_the_first_groups_that_claims_it(log: MemoryLog) -> None:
    first, second = Control(log, TOPIC), Control(log, TOPIC)
    await first.claim(("default", "bulk"), "workers")
    assert first.owner("default") == "workers"
    assert first.owner("critical") is None
    with pytest.raises(SettingsError, match="queue 'bulk' belongs to worker group 'workers'"):
        await second.claim(("critical", "bulk"), "urgent")
    assert second.owner("critical") is None  # who is refused does not start, and takes nothing
    # its own it may claim again, and nothing more is written for that
    before = await log.end(TOPIC, 0)
    await Control(log, TOPIC).claim(("default", "bulk"), "workers")
    assert await log.end(TOPIC, 0) == before


async def test_of_two_that_claim_at_once_one_is_told(log: MemoryLog) -> None:
    claims = [Control(log, TOPIC).claim(("default",), group) for group in ("workers", "urgent")]
    outcomes = await asyncio.gather(*claims, return_exceptions=True)
    assert [isinstance(outcome, SettingsError) for outcome in outcomes].count(True) == 1
    control = Control(log, TOPIC)
    await control.refresh()
    assert control.owner("default") == "workers"


async def test_every_queue_at_fault_is_named_with_the_way_out(log: MemoryLog) -> None:
    await Control(log, TOPIC).claim(("a", "b"), "urgent")
    with pytest.raises(SettingsError) as refused:
        await Control(log, TOPIC).claim(("a", "b", "c"), "workers")
    text = str(refused.value)
    assert "'a'" in text and "'b'" in text and "'c'" not in text
    assert "STREAMS_GROUP=urgent" in text and "STREAMS_SERVES" in text


async def test_a_claim_that_is_removed_frees_the_queue(log: MemoryLog) -> None:
    await Control(log, TOPIC).claim(("default",), "gone")
    write(log, b"owner:default:gone", None)
    control = Control(log, TOPIC)
    await control.claim(("default",), "workers")
    assert control.owner("default") == "workers"


async def test_a_repeated_claim_does_not_make_it_younger(log: MemoryLog) -> None:
    for group in ("workers", "urgent", "workers"):
        write(log, f"owner:default:{group}".encode(), group.encode())
    control = Control(log, TOPIC)
    await control.refresh()
    assert control.owner("default") == "workers"


async def test_two_refreshes_at_once_read_each_record_once(log: MemoryLog) -> None:
    for number in range(1_200):
        write(log, KEY, b"%d" % number)
    control = Control(log, TOPIC)
    await asyncio.gather(control.refresh(), control.refresh())
    assert control.commit(KEY) == 1_199
