"""`streams jobs ls` and `queues ls` on a real Kafka, without a console."""

from __future__ import annotations

import json

import pytest
from cli_handlers import Refund
from cli_process import Cli
from topics import create_topics

from streams.cli import exits
from streams.client import JobClient
from streams.jobs.identity import JobKey
from streams.jobs.outcome import Failure
from streams.jobs.states import State
from streams.kafka.log import KafkaLog
from streams.projection.file import now_ms
from streams.wire.state import LedgerRecord, OpenEntry, encode_ledger, encode_open
from streams.wire.topics import TopicNames
from streams.worker.ports import Append
from streams.worker.settlement import epoch_headers


@pytest.fixture
async def cli(kafka: str, prefix: str) -> Cli:
    """Jobs as a worker has left them that went away."""
    await create_topics(kafka, prefix)
    names, now = TopicNames(prefix), now_ms()
    log = KafkaLog(kafka, "test")
    await log.start()

    def job(id_: str) -> JobKey:
        return JobKey(name="shop.mail", ordering_key="shop.mail:7", id=id_)

    def over(id_: str, ended: int) -> Append:
        record = LedgerRecord(
            job=job(id_),
            state=State.COMPLETED,
            time=ended - 9,
            generation=0,
            run=0,
            attempts=1,
            ended=ended,
        )
        return Append(names.ledger("default"), 0, *encode_ledger(record), epoch_headers(1))

    def entry(id_: str, state: State, at: int, failure: Failure | None = None) -> Append:
        entry = OpenEntry(
            job=job(id_),
            state=state,
            time=at,
            generation=0,
            run=0,
            attempts=2,
            arrival=0,
            due=at,
            blocks=False,
            record_key=None,
            headers=(),
            payload=b"{}",
            failure=failure,
            died=at if state is State.DEAD else None,
        )
        return Append(names.retry("default"), 0, *encode_open(entry), epoch_headers(1))

    smtp = Failure(type="SMTPError", message="mailbox full", trace="")
    try:
        await log.append([over(f"done-{n}", now - 60_000 - n) for n in range(5)])
        await log.append(
            [
                entry("dead-1", State.DEAD, now - 5_000, smtp),
                entry(
                    "dead-2", State.DEAD, now - 6_000, Failure(type="Other", message="", trace="")
                ),
                entry("runs", State.RUNNING, now - 2_000),
                entry("later", State.RETRYING, now - 1_000, smtp),
            ]
        )
    finally:
        await log.stop()
    async with JobClient(kafka, source="test", prefix=prefix) as client:
        await client.enqueue(Refund(account=1), id="waits")
    return Cli(kafka, prefix, "cli_handlers")


async def test_it_lists_what_is_asked_for(cli: Cli) -> None:
    async def ids(*options: str) -> list[str]:
        said = await cli.run("jobs", "ls", "--json", *options)
        assert said.code == exits.DONE, said.errors
        return [each["id"] for each in said.json["jobs"]]

    done = [f"done-{n}" for n in range(5)]
    everything = await ids()
    assert sorted(everything) == sorted([*done, "dead-1", "dead-2", "runs", "later", "waits"])
    assert await ids("--state", "completed") == done
    assert await ids("--state", "completed", "--oldest") == done[::-1]
    assert await ids("--state", "failed,active") == ["runs", "dead-1", "dead-2"]
    assert await ids("--queue", "bulk") == ["waits"]
    assert await ids("--error", "SMTPError", "--state", "dead") == ["dead-1"]
    assert sorted(await ids("--text", "MAILBOX")) == ["dead-1", "later"]
    assert len(await ids("--key", "7")) == 9
    assert len(await ids("--name", "shop.mail", "--since", "30s")) == 4
    # page by page
    first = (await cli.run("jobs", "ls", "--json", "-n", "3", "--state", "completed")).json
    more = ("--cursor", first["cursor"], "--state", "completed")
    assert [each["id"] for each in first["jobs"]] + await ids(*more) == done


async def test_it_is_a_table_for_people_and_says_how_to_go_on(cli: Cli) -> None:
    said = await cli.run("jobs", "ls", "-n", "1", "--state", "dead")
    assert "SMTPError: mailbox full" in said.output
    assert "add --cursor" in said.errors


async def test_what_makes_no_sense_is_refused(cli: Cli) -> None:
    for options in (("--state", "lost"), ("--queue", "none"), ("--cursor", "x"), ("--since", "x")):
        said = await cli.run("jobs", "ls", *options)
        assert said.code == exits.USAGE
        assert options[0] in said.errors or "queue 'none'" in said.errors


async def test_queues_are_listed_with_their_numbers(cli: Cli) -> None:
    await cli.run("queues", "pause", "bulk")
    said = await cli.run("queues", "ls", "--json")
    assert said.code == exits.DONE, said.errors
    found = {each["queue"]: each for each in said.json}
    numbers = ("waiting", "active", "delayed", "completed", "failed")
    assert [found["default"][each] for each in numbers] == [0, 1, 1, 5, 2]
    assert [found["bulk"][each] for each in numbers] == [1, 0, 0, 0, 0]
    assert [found["critical"][each] for each in numbers] == [0] * 5
    assert found["default"]["oldest_waiting"] is None
    assert found["bulk"]["oldest_waiting"] > now_ms() - 120_000
    assert found["bulk"]["paused"] is not None
    table = (await cli.run("queues", "ls")).output
    assert "waiting" in table and "paused since" in table


async def test_changes_are_told_as_they_happen_one_line_of_json_each(cli: Cli) -> None:
    async def told(*options: str) -> list[tuple[str, str]]:
        said = await cli.run("jobs", "tail", "--json", "--since", "10m", *options)
        assert said.code == exits.DONE, said.errors
        lines = [json.loads(line) for line in said.output.splitlines()]
        return sorted((line["id"], line["state"]) for line in lines)

    assert await told("--state", "dead", "-n", "2") == [("dead-1", "dead"), ("dead-2", "dead")]
    assert await told("--id", "runs", "-n", "1") == [("runs", "running")]
    of_both = await told("--state", "running", "--state", "retrying", "-n", "2")
    assert of_both == [("later", "retrying"), ("runs", "running")]
    names = ("--queue", "default", "--name", "shop.mail")
    assert len(await told(*names, "--state", "completed", "-n", "5")) == 5


async def test_a_state_that_is_none_is_refused(cli: Cli) -> None:
    said = await cli.run("jobs", "tail", "--state", "lost")
    assert said.code == exits.USAGE
    assert "states are" in said.errors
