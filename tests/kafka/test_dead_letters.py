"""`streams dlq` on a real broker: letters chosen, replayed, edited, sent on, discarded, once."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections import Counter
from collections.abc import AsyncIterator, Iterable
from pathlib import Path
from typing import Any

import pytest
from cli_process import Cli
from dead_handlers import Never, Pay
from effects import lines, until
from topics import read_all
from worker_process import WorkerProcess

from streams.cli import exits
from streams.client import JobClient
from streams.wire.admin import apply_topics, open_admin
from streams.wire.producer import close_producer, open_producer, send
from streams.wire.topics import TopicNames, specs

QUEUES = ("critical", "default", "bulk")
PARTITIONS = 2


@pytest.fixture
def cli(kafka: str, prefix: str) -> Cli:
    return Cli(kafka, prefix, "dead_handlers")


@pytest.fixture
def effects_file(tmp_path: Path) -> Path:
    return tmp_path / "effects"


@pytest.fixture
async def worker(
    kafka: str, prefix: str, tmp_path: Path, effects_file: Path
) -> AsyncIterator[WorkerProcess]:
    async with open_admin(kafka) as admin:
        names = TopicNames(prefix)
        await apply_topics(admin, specs(names, QUEUES, ["account.opened"], PARTITIONS))
    with WorkerProcess(
        kafka, prefix, "dead_handlers", tmp_path, EFFECTS=str(effects_file)
    ) as process:
        yield process


@pytest.fixture
async def client(kafka: str, prefix: str, worker: WorkerProcess) -> AsyncIterator[JobClient]:
    async with JobClient(kafka, source="test", prefix=prefix) as jobs:
        yield jobs


async def listed(cli: Cli, *filters: str) -> list[dict[str, Any]]:
    said = await cli.run("dlq", "ls", "--json", "--limit", "1000", *filters)
    assert said.code == exits.DONE, said.errors
    letters: list[dict[str, Any]] = said.json["letters"]
    return letters


async def until_dead(cli: Cli, count: int, *filters: str) -> list[dict[str, Any]]:
    async with asyncio.timeout(60):
        while len(letters := await listed(cli, *filters)) < count:
            pass
    assert len(letters) == count
    return letters


def runs_of(effects_file: Path, name: str, generation: int) -> list[tuple[str, int]]:
    """Key and number of each run of a generation, in the order in which they began."""
    return [
        (words[1], int(words[2]))
        for words in lines(effects_file)
        if words[0] == name and words[3] == str(generation)
    ]


def in_order(runs: Iterable[tuple[str, int]]) -> bool:
    by_key: dict[str, list[int]] = {}
    for key, number in runs:
        by_key.setdefault(key, []).append(number)
    return all(numbers == sorted(numbers) for numbers in by_key.values())


async def test_letters_are_filtered_counted_and_paged(cli: Cli, client: JobClient) -> None:
    # given letters of two jobs, two errors and several keys
    await client.enqueue_many([Pay(account=n % 5, n=n) for n in range(10)])
    await client.enqueue(Never(n=1), attempts=1)
    await until_dead(cli, 11)

    # then a filter leaves those that fit
    assert len(await listed(cli, "--job", "pay")) == 10
    assert len(await listed(cli, "--key", "3")) == 2
    assert len(await listed(cli, "--error", "ValueError")) == 1
    assert len(await listed(cli, "--text", "account 4 IS closed")) == 2
    assert len(await listed(cli, "--since", "1h", "--queue", "default")) == 11
    assert await listed(cli, "--until", "1h") == []
    assert await listed(cli, "--generation", "1") == []
    nothing = await cli.run("dlq", "ls", "--job", "pays")
    assert (nothing.code, nothing.output) == (
        exits.DONE,
        "no dead letter fits --job pays; did you mean pay?\n",
    )

    # and they are counted
    groups = await cli.run("dlq", "ls", "--by", "error", "--json")
    assert [(group["error"], group["letters"]) for group in groups.json] == [
        ("streams.errors.PermanentError", 10),
        ("ValueError", 1),
    ]

    # and pages have each of them once, the newest first
    seen: list[dict[str, Any]] = []
    cursor: list[str] = []
    while True:
        page = (await cli.run("dlq", "ls", "--limit", "4", "--json", *cursor)).json
        assert page["matching"] == 11
        seen += page["letters"]
        if page["next"] is None:
            break
        cursor = ["--cursor", page["next"]]
    assert len({letter["letter"] for letter in seen}) == len(seen) == 11
    failed = [letter["lastFailure"] for letter in seen]
    assert failed == sorted(failed, reverse=True)

    # and one is shown with its attempts, and by whom it was given up
    shown = (await cli.run("dlq", "show", seen[0]["letter"], "--json")).json
    assert [attempt["outcome"] for attempt in shown["history"]] == ["dead"]
    assert shown["worker"] == shown["history"][0]["worker"]
    assert shown["version"]


async def test_a_replay_that_is_killed_goes_on_and_each_letter_runs_once(
    cli: Cli, client: JobClient, effects_file: Path, kafka: str, prefix: str
) -> None:
    # given several letters for each of some keys
    count = 300
    await client.enqueue_many([Pay(account=n % 20, n=n) for n in range(count)])
    await until_dead(cli, count)

    # when a slow replay is killed half-way
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "streams", "dlq", "replay", "--job", "pay", "--yes", "--rate", "100/s"),
        env={
            **os.environ,
            "KAFKA_BOOTSTRAP_SERVERS": kafka,
            "STREAMS_PREFIX": prefix,
            "PYTHONPATH": str(Path(__file__).parent),
        },
        stderr=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
    )
    await until(effects_file, lambda _: len(runs_of(effects_file, "pay", 1)) > 30, lambda: "")
    process.send_signal(signal.SIGKILL)
    await process.wait()
    half = runs_of(effects_file, "pay", 1)
    assert len(half) < count

    # and two operators do it again at the same time
    both = await asyncio.gather(
        *(cli.run("dlq", "replay", "--job", "pay", "--yes", "--json") for _ in range(2))
    )

    # then each letter has run once, in the order of its key, and none is left
    assert [said.code for said in both] == [exits.DONE] * 2, both
    await until(effects_file, lambda _: len(runs_of(effects_file, "pay", 1)) >= count, lambda: "")
    runs = runs_of(effects_file, "pay", 1)
    assert Counter(runs) == Counter({(str(n % 20), n): 1 for n in range(count)})
    assert in_order(runs)
    assert await listed(cli) == []
    # and all of it is on record, that which never ended too
    actions = (await cli.run("actions", "ls", "--json")).json
    assert [action["what"] for action in actions] == ["dlq replay"] * 3
    assert all(action["on"] == "--job pay" and action["by"] for action in actions)
    assert sorted(action["ended"] is None for action in actions) == [False, False, True]


async def test_a_payload_is_edited_and_one_that_does_not_fit_stays(
    cli: Cli, client: JobClient, effects_file: Path
) -> None:
    await client.enqueue_many([Pay(account=7, n=n) for n in range(3)])
    await until_dead(cli, 3)

    # when a patch makes something else of them than their contract has
    for patch, why in (
        ('[{"op": "replace", "path": "/n", "value": "x"}]', "Pay.n: "),
        ('[{"op": "replace", "path": "/account", "value": 8}]', "its key would be '8'"),
        ('[{"op": "remove", "path": "/nothing"}]', "the patch does not fit"),
    ):
        said = await cli.run("dlq", "replay", "--job", "pay", "--yes", "--patch", patch)
        assert said.code == exits.NEGATIVE
        assert "3 would not fit, and stay: " in said.errors
        assert why in said.errors
    nonsense = await cli.run("dlq", "replay", "--job", "pay", "--patch", "[1]")
    assert (nonsense.code, "it is no JSON Patch" in nonsense.errors) == (exits.USAGE, True)
    assert len(await listed(cli)) == 3
    assert runs_of(effects_file, "pay", 1) == []

    # when it fits
    patch = '[{"op": "replace", "path": "/good", "value": true}]'
    dry = await cli.run("dlq", "replay", "--job", "pay", "--patch", patch, "--dry-run", "--json")
    assert (dry.json["matching"], dry.json["refused"], len(dry.json["sample"])) == (3, 0, 3)
    assert len(await listed(cli)) == 3
    said = await cli.run("dlq", "replay", "--job", "pay", "--patch", patch, "--yes")
    assert (said.code, said.output) == (exits.DONE, "3 of 3 replayed\n"), said.errors
    found = await until(effects_file, lambda x: len(x) == 6, lambda: "")
    assert [words[4] for words in found[3:]] == ["True"] * 3


async def test_one_payload_is_changed_in_an_editor(
    cli: Cli, client: JobClient, effects_file: Path
) -> None:
    handle = await client.enqueue(Pay(account=7, n=1))
    await until_dead(cli, 1)
    many = await cli.run("dlq", "replay", "--all", "--edit")
    assert (many.code, "for many there is --patch" in many.errors) == (exits.USAGE, True)
    # when nothing is saved, or what does not fit, the letter stays
    unsaved = await cli.run("dlq", "replay", handle.id, "--edit", VISUAL="true")
    assert (unsaved.code, "nothing was saved" in unsaved.errors) == (exits.NEGATIVE, True)
    wrong = await cli.run("dlq", "replay", handle.id, "--edit", VISUAL="sed -i s/1/x/")
    assert wrong.code != exits.DONE
    assert len(await listed(cli)) == 1
    # when what fits is saved
    said = await cli.run("dlq", "replay", handle.id, "--edit", VISUAL="sed -i s/false/true/")
    assert (said.code, said.output) == (exits.DONE, "1 of 1 replayed\n"), said.errors
    found = await until(effects_file, lambda x: len(x) == 2, lambda: "")
    assert found[1] == ["pay", "7", "1", "1", "True"]


async def test_a_letter_goes_on_in_another_queue_as_another_job(
    cli: Cli, client: JobClient, effects_file: Path
) -> None:
    handle = await client.enqueue(Pay(account=7, n=1))
    await until_dead(cli, 1)
    # one that has nowhere to go stays
    nowhere = await cli.run("dlq", "replay", handle.id, "--to-queue", "none")
    assert nowhere.code == exits.USAGE
    assert "there is no queue 'none'" in nowhere.errors
    same = await cli.run("dlq", "replay", handle.id, "--to-queue", "default")
    assert same.code == exits.NEGATIVE
    assert "it is in queue default as pay already" in same.errors
    unknown = await cli.run("dlq", "replay", handle.id, "--to-job", "bil")
    assert (unknown.code, "did you mean bill?" in unknown.errors) == (exits.USAGE, True)
    assert len(await listed(cli)) == 1

    # when it is sent on, then it runs there with its id, and the old job is over
    said = await cli.run("dlq", "replay", handle.id, "--to-job", "bill")
    assert (said.code, said.output) == (exits.DONE, "1 of 1 replayed\n"), said.errors
    await until(effects_file, lambda x: len(x) == 2, lambda: "")
    assert runs_of(effects_file, "bill", 0) == [("7", 1)]
    assert await listed(cli) == []
    old = (await cli.run("jobs", "show", handle.id, "--name", "pay", "--json")).json
    assert (old["state"], old["generation"]) == ("discarded", 0)
    new = (await cli.run("jobs", "wait", handle.id, "--name", "bill", "--json")).json
    assert (new["state"], new["queue"], new["key"]) == ("completed", "bulk", "bill:7")


async def test_letters_of_a_job_that_is_gone_from_the_code_can_all_be_resolved(
    cli: Cli,
    client: JobClient,
    worker: WorkerProcess,
    effects_file: Path,
    kafka: str,
    prefix: str,
    tmp_path: Path,
) -> None:
    await client.enqueue_many([Pay(account=n, n=n) for n in range(3)])
    await until_dead(cli, 3)
    # given a deploy that has no such job any more
    assert worker.stop() == 0
    later = Cli(kafka, prefix, "later_handlers")
    with WorkerProcess(
        kafka, prefix, "later_handlers", tmp_path / "later", EFFECTS=str(effects_file)
    ):
        # then they are listed, exported, sent on and discarded
        assert len(await listed(later, "--job", "pay")) == 3
        exported = await later.run("dlq", "export", "--job", "pay")
        assert (exported.code, len(exported.output.splitlines())) == (exits.DONE, 3)
        patched = await later.run("dlq", "replay", "--key", "0", "--patch", "[]", "--yes")
        assert patched.code == exits.NEGATIVE
        assert "no handler here is named 'pay'" in patched.errors
        sent = await later.run("dlq", "replay", "--key", "1", "--to-job", "bill", "--yes")
        assert (sent.code, sent.output) == (exits.DONE, "1 of 1 replayed\n"), sent.errors
        await until(
            effects_file, lambda x: ["bill", "1", "1", "0", "later"] in x, lambda: sent.errors
        )
        gone = await later.run("dlq", "discard", "--all", "--reason", "it is gone", "--yes")
        assert (gone.code, gone.output) == (exits.DONE, "2 of 2 discarded\n"), gone.errors
        assert await listed(later) == []


async def test_what_came_back_too_often_is_left_and_discarded_with_a_reason(
    cli: Cli, client: JobClient
) -> None:
    handle = await client.enqueue(Never(n=1), attempts=1)
    await until_dead(cli, 1)
    for generation in range(1, 3):
        said = await cli.run("dlq", "replay", handle.id, "--max-returns", "2")
        assert said.code == exits.DONE, said.errors
        await until_dead(cli, 1, "--generation", str(generation))
    stopped = await cli.run("dlq", "replay", "--all", "--yes", "--max-returns", "2")
    assert (stopped.code, stopped.output) == (exits.NEGATIVE, "0 of 1 replayed\n")
    assert "1 came back 2 times or more" in stopped.errors
    # its headers have not grown meanwhile
    shown = (await cli.run("dlq", "show", handle.id, "--json")).json
    assert not [name for name in shown["headers"] if name.startswith("dead-")]

    unasked = await cli.run("dlq", "discard", handle.id, "--reason", "given up")
    assert (unasked.code, "add --yes" in unasked.errors) == (exits.USAGE, True)
    said = await cli.run("dlq", "discard", handle.id, "--reason", "given up", "--yes")
    assert (said.code, said.output) == (exits.DONE, "1 of 1 discarded\n"), said.errors
    assert await listed(cli) == []
    job = (await cli.run("jobs", "show", handle.id, "--json")).json
    assert (job["state"], job["generation"]) == ("discarded", 2)
    assert [attempt["outcome"] for attempt in job["history"]] == ["dead"] * 3


async def test_what_nobody_could_read_is_replayed_as_it_is_once_for_two_operators(
    cli: Cli, kafka: str, prefix: str, worker: WorkerProcess, effects_file: Path
) -> None:
    # given an event that nobody can read, as a foreign service wrote it
    names = TopicNames(prefix)
    producer = await open_producer(kafka, "test")
    try:
        await send(
            producer,
            names.event("account.opened"),
            key=None,
            value=b"\xff\x00",
            headers=[("ce_time", b"yesterday")],
        )
        (letter,) = await until_dead(cli, 1)
        assert letter["job"] is None
        refused = await cli.run("dlq", "replay", letter["letter"], "--to-queue", "bulk")
        assert (refused.code, "it could not be decoded" in refused.errors) == (
            exits.NEGATIVE,
            True,
        )
        # when two replay it, it comes back, with the bytes it had
        await asyncio.gather(*(cli.run("dlq", "replay", letter["letter"]) for _ in range(2)))
        async with asyncio.timeout(60):
            while not (back := [x for x in await listed(cli) if x["letter"] != letter["letter"]]):
                pass
        shown = (await cli.run("dlq", "show", back[0]["letter"], "--json")).json
        assert shown["payload"] == "\\xff\x00"
        # and a discard needs nobody's state
        said = await cli.run("dlq", "discard", "--all", "--reason", "foreign", "--yes")
        assert said.code == exits.DONE, said.errors
        assert await listed(cli) == []
    finally:
        await close_producer(producer)


async def test_a_dead_job_whose_letter_somebody_removed_can_be_resolved(
    cli: Cli, client: JobClient, effects_file: Path, kafka: str, prefix: str
) -> None:
    handles = [await client.enqueue(Pay(account=n, n=n)) for n in range(2)]
    await until_dead(cli, 2)
    names = TopicNames(prefix)
    producer = await open_producer(kafka, "test")
    try:
        for record in await read_all(kafka, names.dead, PARTITIONS):
            place = {"key": record.key, "value": None, "partition": record.partition}
            await send(producer, names.dead, **place)
    finally:
        await close_producer(producer)
    assert await listed(cli) == []
    replayed, unknown = handles[0].id, "nobody"
    assert (await cli.run("dlq", "show", replayed, "--json")).json["job"] == "pay"
    said = await cli.run("dlq", "replay", replayed)
    assert (said.code, said.output) == (exits.DONE, "1 of 1 replayed\n"), said.errors
    gone = await cli.run("dlq", "discard", handles[1].id, "--reason", "no letter", "--yes")
    assert (gone.code, gone.output) == (exits.DONE, "1 of 1 discarded\n"), gone.errors
    assert (await cli.run("dlq", "replay", unknown)).code == exits.NOT_FOUND
    await until(effects_file, lambda x: len(x) == 3, lambda: "")


async def test_letters_are_exported_and_imported_as_they_were(
    cli: Cli, client: JobClient, effects_file: Path, tmp_path: Path, kafka: str, prefix: str
) -> None:
    await client.enqueue_many([Pay(account=n, n=n) for n in range(4)])
    before = await until_dead(cli, 4)
    exported = await cli.run("dlq", "export", "--job", "pay")
    assert exported.code == exits.DONE, exported.errors
    told = [json.loads(line) for line in exported.output.splitlines()]
    assert {each["letter"] for each in told} == {each["letter"] for each in before}

    # those that stand are left alone
    again = await cli.run("dlq", "import", "-", "--yes", "--json", stdin=exported.output)
    assert (again.code, again.json) == (
        exits.DONE,
        {"lines": 4, "imported": 0, "known": 4, "silent": 0},
    )
    # those that are gone come back, and are replayed as any other
    gone = await cli.run("dlq", "discard", "--all", "--reason", "by mistake", "--yes")
    assert gone.code == exits.DONE
    assert await listed(cli) == []
    back = await cli.run("dlq", "import", "-", "--yes", "--json", stdin=exported.output)
    assert (back.code, back.json["imported"]) == (exits.DONE, 4), back.errors
    after = await until_dead(cli, 4)
    assert {each["letter"] for each in after} == {each["letter"] for each in before}
    assert {each["error"] for each in after} == {"streams.errors.PermanentError"}
    said = await cli.run("dlq", "replay", "--all", "--yes")
    assert (said.code, said.output) == (exits.DONE, "4 of 4 replayed\n"), said.errors
    await until(effects_file, lambda x: len(x) == 8, lambda: "")
    # one that has completed since does not come back
    late = await cli.run("dlq", "import", "-", "--yes", "--json", stdin=exported.output)
    assert (late.code, late.json["imported"], late.json["known"]) == (exits.DONE, 0, 4)
    assert await listed(cli) == []
    broken = await cli.run("dlq", "import", "-", "--yes", stdin="{}\n")
    assert (broken.code, "line 1" in broken.errors) == (exits.USAGE, True)


async def test_an_import_asks_first_and_looks_at_the_whole_file_before(
    cli: Cli, client: JobClient, tmp_path: Path, kafka: str
) -> None:
    await client.enqueue_many([Pay(account=n, n=n) for n in range(2)])
    await until_dead(cli, 2)
    file = tmp_path / "letters.jsonl"
    exported = (await cli.run("dlq", "export")).output
    file.write_text(exported)
    for source, stdin in ((str(file), ""), ("-", exported)):
        said = await cli.run("dlq", "import", source, stdin=stdin)
        assert said.code == exits.USAGE, said
        assert "Import 2 dead letters? Nobody is there to answer: add --yes" in said.errors
        said = await cli.run("dlq", "import", source, "--dry-run", "--json", stdin=stdin)
        assert (said.code, said.json["lines"], said.json["imported"]) == (exits.DONE, 2, 0), said
    file.write_text(exported + "{}\n")
    said = await cli.run("dlq", "import", str(file), "--dry-run")
    assert (said.code, "line 3" in said.errors) == (exits.USAGE, True)
    assert (await cli.run("actions", "ls", "--json")).json == []


async def test_a_job_takes_the_place_of_a_dead_one_with_its_id(
    cli: Cli, client: JobClient, effects_file: Path
) -> None:
    await client.enqueue(Pay(account=1, n=1), id="order-1")
    await until_dead(cli, 1)
    await client.enqueue(Pay(account=1, n=2, good=True), id="order-1")
    handle = await client.enqueue(
        Pay(account=1, n=3, good=True), id="order-1", on_dead_id="replace"
    )
    assert await handle.result("60s") is None
    assert (await handle.status()).state == "completed"
    assert runs_of(effects_file, "pay", 0) == [("1", 1), ("1", 3)]
    assert await listed(cli) == []

    await client.enqueue(Pay(account=2, n=4), id="order-2")
    await until_dead(cli, 1)
    payload = '{"account": 2, "n": 5, "good": true}'
    asked = ("enqueue", "pay", payload, "--id", "order-2", "--on-dead-id")
    said = await cli.run(*asked, "drop")
    assert (said.code, 'write "replace"' in said.errors) == (exits.USAGE, True), said
    said = await cli.run(*asked, "replace")
    assert (said.code, said.output) == (exits.DONE, "order-2\n"), said
    await until(effects_file, lambda x: len(x) == 4, lambda: "")


async def test_actions_are_records_of_who_and_why(
    cli: Cli, client: JobClient, kafka: str, prefix: str
) -> None:
    await client.enqueue(Pay(account=1, n=1))
    await until_dead(cli, 1)
    await cli.run("dlq", "discard", "--key", "1", "--reason", "a test", "--yes")
    (action,) = (await cli.run("actions", "ls", "--json")).json
    assert (action["what"], action["on"], action["reason"]) == ("dlq discard", "--key 1", "a test")
    assert action["failed"] is None
    assert action["counts"] == {"discarded": 1, "matching": 1}
    assert action["began"] <= action["ended"]
    records = await read_all(kafka, TopicNames(prefix).actions, 1)
    assert len(records) == 2


async def test_actions_say_what_was_refused_and_why_one_did_not_end(
    cli: Cli, client: JobClient, kafka: str
) -> None:
    await client.enqueue(Pay(account=1, n=1))
    (letter,) = await until_dead(cli, 1)
    patch = '[{"op": "replace", "path": "/n", "value": "none"}]'
    said = await cli.run("dlq", "replay", "--all", "--patch", patch, "--yes")
    assert (said.code, "would not fit" in said.errors) == (exits.NEGATIVE, True), said
    said = await cli.run("dlq", "replay", letter["letter"], "--edit", EDITOR="true")
    assert said.code == exits.NEGATIVE, said

    edited, patched = (await cli.run("actions", "ls", "--json")).json
    assert patched["counts"] == {"replayed": 0, "matching": 1, "refused": 1}
    assert edited["failed"] == "nothing was saved: the letter stays"
    listed = (await cli.run("actions", "ls")).output
    assert "0 replayed, 1 matching, 1 refused" in listed
    assert "(nothing was saved: the letter stays)" in listed
