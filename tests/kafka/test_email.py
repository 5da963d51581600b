"""user.signed_up all the way: a real Kafka, a worker, a mail server, and the command line."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from cli_process import PATIENCE_S, Cli, wait_until_over
from topics import read_all
from worker_process import WorkerProcess

from agents.email import send_welcome_email
from schemas.users import UserSignedUp
from streams.client import JobClient
from streams.dev.mail_sink import MailSink
from streams.dev.ports import free_port
from streams.errors import TopicMismatch
from streams.jobs.identity import fan_out_id, new_id
from streams.jobs.states import State
from streams.replay.letters import letter_from
from streams.wire.envelope import Record
from streams.wire.state import decode_ledger, decode_open
from streams.wire.topics import TopicNames

NAME = send_welcome_email.__job_definition__.name  # type: ignore[attr-defined]


@pytest.fixture
def smtp_port() -> int:
    return free_port()


@pytest.fixture
def worker(kafka: str, prefix: str, tmp_path: Path, smtp_port: int) -> Iterator[WorkerProcess]:
    smtp = {"SMTP_HOST": "127.0.0.1", "SMTP_PORT": str(smtp_port)}
    with WorkerProcess(kafka, prefix, "agents", tmp_path, **smtp) as worker:
        yield worker


async def sign_up(client: JobClient, worker: WorkerProcess, address: str) -> str:
    """Emit the event as soon as the worker has made its topic; the id of the job it starts."""
    event_id = new_id()
    until = time.monotonic() + PATIENCE_S
    while True:
        try:
            await client.emit(UserSignedUp(user_id=1, email=address), id=event_id)
            return fan_out_id(NAME, client.source, event_id)
        except TopicMismatch:
            assert worker.process is not None
            assert worker.process.poll() is None, worker.log
            assert time.monotonic() < until, worker.log
            await asyncio.sleep(0.2)


async def test_a_refusal_for_now_is_retried_after_its_backoff(
    kafka: str, prefix: str, worker: WorkerProcess, smtp_port: int
) -> None:
    # given a server that takes the message at the second try
    async with (
        MailSink(port=smtp_port) as sink,
        JobClient(kafka, source="test", prefix=prefix) as client,
    ):
        sink.answer_once("late@example.org", 451)
        # when
        id = await sign_up(client, worker, "late@example.org")
        # then one message arrives
        code, job = await wait_until_over(Cli(kafka, prefix, "agents"), id)
        assert (code, job["state"], job["attempts"]) == (0, "completed", 2)
        (message,) = sink.messages["late@example.org"]
        assert job["result"] == message["Message-ID"]
    # and the second attempt began when it was due, not before
    names = TopicNames(prefix)
    opened = [
        decode_open(r.key, r.value)
        for r in await read_all(kafka, names.retry("critical"))
        if r.value is not None and not r.key.startswith(b"#")
    ]
    (retrying,) = [entry for entry in opened if entry.state is State.RETRYING]
    endings = [
        decode_ledger(r.key, r.value)
        for r in await read_all(kafka, names.ledger("critical"))
        if not r.key.startswith(b"#")
    ]
    (over,) = [ending for ending in endings if ending.job.id == id]
    assert retrying.due is not None
    assert over.history[-1].started >= retrying.due


async def test_a_final_refusal_is_a_dead_letter_and_its_replay_delivers(
    kafka: str, prefix: str, worker: WorkerProcess, smtp_port: int
) -> None:
    cli = Cli(kafka, prefix, "agents")
    async with (
        MailSink(port=smtp_port) as sink,
        JobClient(kafka, source="test", prefix=prefix) as client,
    ):
        # given a mailbox that does not exist
        sink.refuse("lost@example.org", 550)
        id = await sign_up(client, worker, "lost@example.org")
        code, job = await wait_until_over(cli, id)
        assert (code, job["state"], job["attempts"]) == (1, "dead", 1)
        dead = TopicNames(prefix).dead
        until = time.monotonic() + PATIENCE_S
        while not (letters := await read_all(kafka, dead)):
            assert time.monotonic() < until
        (r,) = letters
        letter = letter_from(
            Record(r.topic, r.partition, r.offset, r.timestamp, r.key, r.value, r.headers)
        )
        assert (letter.id, letter.error) == (id, "streams.errors.PermanentError")
        assert b"lost@example.org" in (letter.payload or b"")
        _, listed, _ = await cli.run("dlq", "ls", "--json")
        assert [row["letter"] for row in json.loads(listed)["letters"]] == [id]

        # when it does, and the letter is replayed
        sink.mend("lost@example.org")
        code, output, errors = await cli.run("dlq", "replay", id)
        assert (code, output) == (0, "1 of 1 replayed\n"), errors

        # then the message arrives once, and the letter is gone
        await asyncio.wait_for(sink.received("lost@example.org"), PATIENCE_S)
        code, job = await wait_until_over(cli, id)
        assert (code, job["state"], job["generation"]) == (0, "completed", 1)
        assert len(sink.messages["lost@example.org"]) == 1
        assert (await cli.run("dlq", "ls", "--json")).json["letters"] == []
        assert (await cli.run("dlq", "replay", id)).code == 3


async def test_topics_are_planned_then_applied(kafka: str, prefix: str) -> None:
    cli = Cli(kafka, prefix, "agents")
    code, output, _ = await cli.run("topics", "plan", "--json")
    assert code == 1
    assert {row["verdict"] for row in json.loads(output)} == {"create"}
    assert (await cli.run("topics", "apply")).code == 0
    assert (await cli.run("topics", "plan")).code == 0
