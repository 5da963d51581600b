"""`streams cron` on real Kafka: what it says, its exit codes, and what a worker makes of it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from cli_process import Cli, Said, wait_until_over
from effects import until
from topics import create_topics
from worker_process import WorkerProcess

from streams.cli import exits
from streams.schedules.control import write_control
from streams.wire.schedules import Ticked, encode_ticked
from streams.wire.topics import TopicNames


@pytest.fixture
async def cli(kafka: str, prefix: str) -> Cli:
    await create_topics(kafka, prefix)
    return Cli(kafka, prefix, "cron_handlers")


@pytest.fixture
def effects_file(tmp_path: Path) -> Path:
    return tmp_path / "effects"


@pytest.fixture
def worker(kafka: str, prefix: str, tmp_path: Path, effects_file: Path) -> Iterator[WorkerProcess]:
    """Not started yet."""
    worker = WorkerProcess(kafka, prefix, "cron_handlers", tmp_path, EFFECTS=str(effects_file))
    yield worker
    if worker.process is not None:
        worker.stop()


IN_CODE = {"long", "spread", "yearly"}


async def listed(cli: Cli) -> dict[str, dict[str, Any]]:
    said = await cli.run("cron", "ls", "--json")
    assert said.code == exits.DONE, said.errors
    return {each["name"]: each for each in said.json}


async def test_schedules_of_the_code_and_of_run_time_are_listed_with_what_they_do(
    cli: Cli, kafka: str, prefix: str
) -> None:
    # given one of each kind; no worker has run yet
    theirs = Ticked(last=1_700_000_000_000, shape="?", queue="bulk", fired=7, missed=3, skipped=2)
    gone = replace(theirs, gone=1_700_000_900_000)
    control = TopicNames(prefix).control
    records = [encode_ticked("gone", gone), encode_ticked("theirs", theirs)]
    await write_control(kafka, control, records)
    added = await cli.run(
        "cron", "add", "dunning", "0 9 * * mon", "invoice", '{"account": 7}', "--tz", "Asia/Tokyo"
    )
    assert added.code == exits.DONE, added.errors
    assert "dunning enqueues invoice at 09:00, Monday, Asia/Tokyo time; next " in added.output
    assert (await cli.run("cron", "pause", "yearly", "--reason", "a move")).code == exits.DONE
    # whoever has it in its code may be at work still
    taken = await cli.run("cron", "add", "theirs", "taker", "--every", "1h")
    assert taken.code == exits.USAGE and "theirs is in the code of a worker" in taken.errors
    # when they are listed
    found, blocks, table, one = await asyncio.gather(
        listed(cli),
        cli.run("cron", "ls"),
        cli.run("cron", "ls", "--wide"),
        cli.run("cron", "ls", "dunning"),
    )
    # then each with its next five runs in its own zone
    assert list(found) == ["dunning", "gone", "long", "spread", "theirs", "yearly"]
    yearly = found["yearly"]
    assert (yearly["origin"], yearly["state"]) == ("code", "paused")
    assert yearly["reason"] == "a move"
    assert (yearly["pattern"], yearly["tz"]) == ("0 0 1 1 *", "Europe/Berlin")
    assert len(yearly["next"]) == 5
    assert all(each.endswith("-01-01T00:00:00+01:00") for each in yearly["next"])
    dunning = found["dunning"]
    assert (dunning["origin"], dunning["state"], dunning["job"]) == ("added", "active", "invoice")
    assert (dunning["queue"], dunning["key"]) == ("bulk", "invoice:7")
    assert dunning["payload"] == {"account": 7, "note": ""}
    assert dunning["overlap"] == "allow"
    assert all(datetime.fromisoformat(each).weekday() == 0 for each in dunning["next"])
    assert (found["spread"]["every_ms"], found["spread"]["jitter_ms"]) == (21_600_000, 300_000)
    assert found["gone"]["state"] == "retired"
    assert (found["gone"]["missed"], found["gone"]["skipped"]) == (3, 2)
    assert found["gone"]["last_tick"] == "2023-11-14T22:13:20+00:00"
    assert (found["theirs"]["state"], found["theirs"]["retired_since"]) == ("elsewhere", None)
    for text in ("every 6h, up to 5m later", "every 6 hours", "paused", "a move", "retired"):
        assert text in table.output
    for text in (
        "every 6 hours, up to 5m later",
        "yearly  paused since",
        "gone  retired since",
        "theirs  elsewhere",
        "at 09:00, Monday, Asia/Tokyo time (0 9 * * mon)",
    ):
        assert text in blocks.output
    assert max(map(len, blocks.output.splitlines())) <= 100  # though nobody looks at a terminal
    assert one.output.count("09:00 JST") == 5
    assert 'payload       {"account":7,"note":""}' in one.output


REFUSED = [
    (("add", "x", "61 * * * *", "invoice"), "61 is no minute: write 0-59 (minute, column 1)"),
    (("add", "x", "0 0 30 2 *", "invoice"), "no feb has a day 30"),
    (("add", "x", "0 7 * * *", "invoice", "{}"), "Invoice.account: Field required"),
    (("add", "x", "0 7 * * *", "invoice", "{"), "Invoice: Invalid JSON"),
    (("add", "x", "0 7 * * *", "nobody"), "names are: invoice, long, spread, taker, yearly"),
    (("add", "x", "0 7 * * *", "on_closed"), "is started by events"),
    (("add", "x", "0 7 * * *", "taker", "{}"), "taker takes a Tick"),
    (("add", "x", "0 7 * * *"), "name the job"),
    (("add", "x", "0", "7", "*", "*", "*", "invoice"), "put it in quotes"),
    (("add", "x", "0 7 * * *", "taker", "--tz", "Europe/Berln"), "did you mean Europe/Berlin?"),
    (("add", "x", "taker", "--every", "-5m"), "--every: -5m is negative"),
    (("add", "x", "taker", "--every", "10ms"), "--every 10ms is shorter than"),
    (("add", "x", "0 7 * * *", "taker", "--every", "1h"), "is a pattern, and --every has none"),
    (("add", "x", "taker", "--every", "1h", "--tz", "UTC"), "--tz UTC goes with a pattern"),
    (("add", "x", "taker", "--every", "1h", "--jitter", "2h"), "--jitter 2h could put"),
    (("add", "x", "taker", "--every", "1h", "--start", "2030-01-01T00:00"), "has no time zone"),
    (("add", "x", "taker", "--every", "1h", "--end", "2020-01-01T00:00Z"), "it would never run"),
    (
        ("add", "x", "taker", "--every", "1h", "--missed", "run_al"),
        "did you mean --missed run_all?",
    ),
    (("add", "a/b", "taker", "--every", "1h"), "is no name of a schedule"),
    (("add", "yearly", "taker", "--every", "1h"), "cron_handlers.py:"),
    (("rm", "yearly", "--yes"), "streams cron pause yearly"),
    (("run", "yearly", "--wait", "--timeout", "soon"), "--timeout: "),
]


async def test_what_makes_no_sense_is_usage_and_says_where(cli: Cli) -> None:
    for some in (REFUSED[:7], REFUSED[7:14], REFUSED[14:]):
        saying = [cli.run("cron", *arguments) for arguments, _ in some]
        for (arguments, why), said in zip(some, await asyncio.gather(*saying), strict=True):
            assert said.code == exits.USAGE, (arguments, said)
            assert said.errors.startswith("streams: "), said
            assert why in said.errors, (arguments, said)
            assert said.output == ""
    shown = (await cli.run("cron", "add", "x", "0 25 * * *", "invoice")).errors.splitlines()
    assert shown[1:] == ["    0 25 * * *", "      ^^"]


async def test_what_is_unknown_is_not_found(cli: Cli) -> None:
    for command in ("pause", "resume", "run", "rm"):
        said = await cli.run("cron", command, "nobody")
        assert said.code == exits.NOT_FOUND
        assert "there is no schedule 'nobody'; there are: long, spread, yearly" in said.errors
    said = await cli.run("cron", "ls", "yearl")
    assert (said.code, said.output) == (exits.NOT_FOUND, "")
    assert "there is no schedule 'yearl'; did you mean yearly?" in said.errors


async def test_a_schedule_is_added_changed_paused_run_and_removed_under_a_worker(
    cli: Cli, worker: WorkerProcess, effects_file: Path
) -> None:
    def log() -> str:
        return worker.log

    async def done(*arguments: str) -> Said:
        said = await cli.run("cron", *arguments)
        assert said.code == exits.DONE, said
        return said

    worker.start()
    # given two that were added, with a payload and with a tick
    await done("add", "billing", "* * * * * *", "invoice", '{"account": 7, "note": "a"}')
    await done("add", "beat", "taker", "--every", "1s")
    await until(effects_file, lambda x: {each[0] for each in x} >= {"invoice", "beat"}, log)
    again = await cli.run("cron", "add", "billing", "0 0 * * *", "invoice", '{"account": 8}')
    assert again.code == exits.USAGE and "--replace changes it" in again.errors
    # when one is replaced, then only the new one runs
    await done(
        "add", "billing", "* * * * * *", "invoice", '{"account": 8, "note": "b"}', "--replace"
    )
    await until(effects_file, lambda x: ["invoice", "8", "b"] in x, log)
    # when both are paused, then nothing of them runs, but what is started by hand
    await done("pause", "billing")
    await done("pause", "beat", "--reason", "too loud")
    found = await listed(cli)
    assert found["beat"]["fired"] > 0
    assert (found["beat"]["state"], found["beat"]["reason"]) == ("paused", "too loud")
    by_hand = (await done("run", "beat", "--wait")).output.strip()
    assert by_hand.startswith("beat:manual:")
    (await done("run", "billing", "--wait"))
    lines = await until(effects_file, lambda x: any(e[4:5] == ["True"] for e in x), log)
    quiet = len(lines)
    assert (await done("run", "beat", "--wait")).output.strip() != by_hand
    lines = await until(effects_file, lambda x: len(x) > quiet, log)
    assert [each[4] for each in lines[quiet:]] == ["True"]
    # when one is resumed, then it goes on, and its pause was not missed
    await done("resume", "beat")
    await until(effects_file, lambda x: x[-1][0] == "beat" and x[-1][4] == "False", log)
    assert (await listed(cli))["beat"]["missed"] == 0
    assert "is not paused" in (await done("resume", "beat")).output
    # when they are removed, then nothing is left of them, and nothing comes back
    unasked = await cli.run("cron", "rm", "beat")
    assert unasked.code == exits.USAGE and "add --yes" in unasked.errors
    await done("rm", "beat", "--yes")
    await done("rm", "billing", "--yes")
    async with asyncio.timeout(30):
        while set(await listed(cli)) != IN_CODE:
            pass
    quiet = len(await until(effects_file, lambda x: True, log))
    (await done("run", "spread", "--wait"))
    lines = await until(effects_file, lambda x: len(x) > quiet, log)
    assert [each[0] for each in lines[quiet:]] == ["spread"]
    assert set(await listed(cli)) == IN_CODE


async def test_a_run_by_hand_ends_the_one_before_it_if_the_schedule_says_so(
    cli: Cli, worker: WorkerProcess, effects_file: Path
) -> None:
    worker.start()
    # given a run that does not end by itself
    first = (await cli.run("cron", "run", "long")).output.strip()
    await until(effects_file, lambda x: len(x) == 1, lambda: worker.log)
    # when another one is started
    second = (await cli.run("cron", "run", "long")).output.strip()
    await until(effects_file, lambda x: len(x) == 2, lambda: worker.log)
    # then the first one is over, and the second one is cancelled by hand
    code, job = await wait_until_over(cli, first)
    assert (code, job["state"]) == (exits.NEGATIVE, "cancelled")
    assert "the next tick came" in job["error"]
    waiting = asyncio.create_task(cli.run("jobs", "wait", second))
    assert (await cli.run("jobs", "cancel", second)).code == exits.DONE
    assert (await waiting).code == exits.NEGATIVE
