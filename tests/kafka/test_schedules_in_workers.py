"""Schedules of every second on two real workers: each tick once, through a kill and outages."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import orjson
from cli_process import Cli
from effects import Lines
from fleet import SESSION, Fleet
from fleet_of_two import fleet_to_start, start_two, two_workers
from group import Group
from topics import read_all

from streams.cli import exits
from streams.durations import to_ms
from streams.schedules.control import open_control, write_control
from streams.wire.schedules import TICKED, decode_ticked, encode_ticked
from streams.wire.topics import TopicNames

PARTITIONS = 4
NAMES = ("every", "pattern")
SECOND = 1_000
HOUR = 3_600_000


class Run(NamedTuple):
    """One run of a tick; times in ms since the epoch."""

    schedule: str
    tick: int
    began: int
    missed: int
    worker: str


def runs(lines: Lines) -> list[Run]:
    return [
        Run(name, int(tick), int(began), int(missed), worker)
        for name, tick, began, missed, _, worker in (line for line in lines if len(line) == 6)
    ]


def ticks_of(name: str, found: Iterable[Run]) -> list[int]:
    return [each.tick for each in found if each.schedule == name]


def are_whole(found: list[Run], since: int, until: int) -> bool:
    """Whether there is a run for each second of both, from the one to the other."""
    wanted = set(range(since, until + 1, SECOND))
    return all(wanted <= set(ticks_of(name, found)) for name in NAMES)


async def until_whole(fleet: Fleet, since: int, until: int) -> list[Run]:
    """All runs, once none is left out in between."""
    return runs(await fleet.until(lambda lines: are_whole(runs(lines), since, until)))


async def ledger(kafka: str, prefix: str) -> Counter[str]:
    """How many records there are for each id."""
    records = await read_all(kafka, TopicNames(prefix).ledger("default"), PARTITIONS)
    return Counter(
        orjson.loads(each.key)[2]
        for each in records
        if each.value is not None and not each.key.startswith(b"#")
    )


async def ledger_until(kafka: str, prefix: str, ids: set[str]) -> Counter[str]:
    """The same, once all these are over."""
    async with asyncio.timeout(60):
        while not ids <= set(found := await ledger(kafka, prefix)):
            await asyncio.sleep(0.1)
    return found


def ids_of(since: int, until: int) -> set[str]:
    def shown(ms: int) -> str:
        return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(ms // 1_000))

    return {f"{name}:{shown(ms)}" for name in NAMES for ms in range(since, until + 1, SECOND)}


async def leader_of(cli: Cli, fleet: Fleet) -> str:
    """The worker that has the first partition of the queue, by what workers say of themselves."""
    async with asyncio.timeout(60):
        while True:
            for seen in (await cli.run("workers", "ls", "--json")).json:
                if 0 in seen["partitions"].get("default", ()):
                    for name, worker in fleet.workers.items():
                        if worker.runs and str(worker.pid) in seen["worker"]:
                            return name
            await asyncio.sleep(0.1)


async def test_no_tick_is_lost_or_runs_twice_when_the_worker_that_enqueues_them_is_killed(
    kafka: str, prefix: str, tmp_path: Path
) -> None:
    cli = Cli(kafka, prefix, "schedule_handlers")
    opening = two_workers(kafka, prefix, tmp_path, "schedule_handlers", PARTITIONS)
    async with opening as (fleet, _):
        # given two workers that have settled, and ten seconds of ticks
        begun = time.time_ns() // 1_000_000 // SECOND * SECOND + SECOND
        before = await until_whole(fleet, begun, begun + 10 * SECOND)
        # when the one that enqueues them is killed
        leader = await leader_of(cli, fleet)
        fleet.workers[leader].kill()
        killed = time.time_ns() // 1_000_000
        # then the other one goes on where it was, soon
        first = killed // SECOND * SECOND + SECOND
        after = await until_whole(fleet, first, first)
        replaced = max(
            min(each.began for each in after if each.schedule == name and each.tick >= first)
            for name in NAMES
        )
        assert replaced - killed <= to_ms(SESSION) + 3 * SECOND
        # and each tick from the beginning to now has one record, and ran once
        last = time.time_ns() // 1_000_000 // SECOND * SECOND
        found = await until_whole(fleet, begun, last)
        records = await ledger_until(kafka, prefix, ids_of(begun, last))
        assert set(records.values()) == {1}
        tell("lateness of starts", [each.began - each.tick for each in before])
        tell("replaced after", [replaced - killed])
        assert percentile([each.began - each.tick for each in before], 0.99) < 5 * SECOND
        twice = [
            n for n, count in Counter((e.schedule, e.tick) for e in found).items() if count > 1
        ]
        # what ran when its worker was killed may run again, as any job; no tick is enqueued anew
        assert len(twice) <= 2, twice
        assert all(each.missed == 0 for each in found)
        assert (await told(cli))["every"]["missed"] == 0


async def test_an_outage_loses_no_tick_and_a_long_one_is_told(
    kafka: str, prefix: str, tmp_path: Path
) -> None:
    cli = Cli(kafka, prefix, "schedule_handlers")
    control = TopicNames(prefix).control
    opening = fleet_to_start(kafka, prefix, tmp_path, "schedule_handlers", PARTITIONS)
    async with opening as (fleet, _):
        start_two(fleet)
        await Group(kafka, f"{prefix}workers").until_members(2, fleet.logs)
        begun = time.time_ns() // 1_000_000 // SECOND * SECOND + SECOND
        await until_whole(fleet, begun, begun + SECOND)
        # given an outage of a few seconds
        for name in ("a", "b"):
            assert fleet.workers[name].stop() == 0
        over = time.time_ns() // 1_000_000 // SECOND * SECOND + 3 * SECOND
        while time.time_ns() // 1_000_000 < over:  # the outage itself, not a wait for anything
            await asyncio.sleep(0.05)
        start_two(fleet)
        # then what fell into it runs late, tick by tick
        found = await until_whole(fleet, begun, over)
        assert all(each.missed == 0 for each in found)
        # given one of an hour, as far as their records say
        for name in ("a", "b"):
            assert fleet.workers[name].stop() == 0
        async with open_control(kafka, control) as reader:
            records = (await reader.refresh()).named(TICKED)
        back = {name: decode_ticked(records[name]) for name in NAMES}
        rewound = {
            name: encode_ticked(name, replace(ticked, last=ticked.last - HOUR))
            for name, ticked in back.items()
        }
        await write_control(kafka, control, rewound.values())
        start_two(fleet)
        # then one run knows of all of them, and the others go on
        lines = await fleet.until(
            lambda x: all(any(e.missed for e in runs(x) if e.schedule == n) for n in NAMES)
        )
        for name in NAMES:
            (once,) = (e for e in runs(lines) if e.schedule == name and e.missed)
            assert 3_560 <= once.missed <= 3_700
            since = once.tick + SECOND
            await fleet.until(
                lambda x, n=name, at=since: at in ticks_of(n, runs(x))  # type: ignore[misc]
            )
            assert (await told(cli))[name]["missed"] == once.missed
        assert (await told(cli))["every"]["skipped"] == 0


async def test_a_pause_from_the_command_line_holds_on_two_workers(
    kafka: str, prefix: str, tmp_path: Path
) -> None:
    cli = Cli(kafka, prefix, "schedule_handlers")
    opening = two_workers(kafka, prefix, tmp_path, "schedule_handlers", PARTITIONS)
    async with opening as (fleet, _):
        begun = time.time_ns() // 1_000_000 // SECOND * SECOND + SECOND
        await until_whole(fleet, begun, begun + SECOND)
        # when one is paused
        assert (await cli.run("cron", "pause", "every")).code == exits.DONE
        paused = time.time_ns() // 1_000_000
        # then the other one goes on, and it does not
        await fleet.until(lambda x: (ticks_of("pattern", runs(x)) or [0])[-1] > paused + 4_000)
        assert ticks_of("every", runs(fleet.lines))[-1] <= paused + 2 * SECOND
        # and it goes on from when it is resumed
        resumed = time.time_ns() // 1_000_000
        assert (await cli.run("cron", "resume", "every")).code == exits.DONE
        lines = await fleet.until(lambda x: ticks_of("every", runs(x))[-1] > resumed)
        between = [t for t in ticks_of("every", runs(lines)) if paused + 2 * SECOND < t <= resumed]
        assert between == []
        assert (await told(cli))["every"]["missed"] == 0


async def told(cli: Cli) -> dict[str, dict[str, Any]]:
    return {each["name"]: each for each in (await cli.run("cron", "ls", "--json")).json}


def percentile(values: list[int], share: float) -> int:
    return sorted(values)[min(len(values) - 1, int(len(values) * share))]


def tell(what: str, values: list[int]) -> None:
    """For whoever runs it with -s."""
    p50, p99, most = (percentile(values, share) for share in (0.5, 0.99, 1))
    print(f"\n{what}: p50 {p50} ms, p99 {p99} ms, most {most} ms ({len(values)})")
