"""The command line against a worker: what it says, and its exit codes as docs/operations.md."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from cli_handlers import Charge, Nap, Ordered, Refund
from cli_process import Cli, Said, wait_until_over
from topics import read_all
from worker_process import WorkerProcess

from streams.cli import exits
from streams.client import JobClient
from streams.errors import JobFailed
from streams.jobs.identity import fan_out_id
from streams.wire.topics import TopicNames


@pytest.fixture
def cli(kafka: str, prefix: str) -> Cli:
    return Cli(kafka, prefix, "cli_handlers")


@pytest.fixture
def mended(tmp_path: Path) -> Path:
    """Once this file is there, what fails succeeds."""
    return tmp_path / "mended"


@pytest.fixture
def worker(kafka: str, prefix: str, tmp_path: Path, mended: Path) -> Iterator[WorkerProcess]:
    """Not started yet."""
    worker = WorkerProcess(kafka, prefix, "cli_handlers", tmp_path, MENDED=str(mended))
    yield worker
    if worker.process is not None:
        worker.stop()


@pytest.fixture
async def client(kafka: str, prefix: str, cli: Cli) -> AsyncIterator[JobClient]:
    """Sends what a test starts from; its topics exist."""
    assert (await cli.run("topics", "apply")).code == exits.DONE
    async with JobClient(kafka, source="test", prefix=prefix) as client:
        yield client


def error_of(said: Said) -> str:
    """The one line that it says on standard error."""
    (line,) = said.errors.strip().splitlines()
    assert line.startswith("streams: "), line
    return line


async def sent_to(kafka: str, topic: str) -> list[bytes]:
    return [record.value for record in await read_all(kafka, topic)]


async def test_each_line_of_input_is_sent_up_to_the_first_that_does_not_fit(
    cli: Cli, kafka: str, prefix: str
) -> None:
    # given
    names = TopicNames(prefix)
    assert (await cli.run("topics", "apply")).code == exits.DONE
    # when
    jobs, refused, events = await asyncio.gather(
        cli.run("enqueue", "charge", "-", stdin='{"account": 1}\n\n{"account": 2}\n'),
        cli.run("enqueue", "refund", "-", stdin='{"account": 3}\n{"account": "x"}\n{"account": 4}'),
        cli.run("emit", "shop.ordered", "-", stdin='{"order": 7}\n{"order": 8}\n'),
    )
    # then each prints its ids, and nothing behind a wrong line was sent
    assert (jobs.code, len(set(jobs.output.split()))) == (exits.DONE, 2), jobs.errors
    assert sorted(await sent_to(kafka, names.queue("default"))) == [
        b'{"account":1}',
        b'{"account":2}',
    ]
    assert (events.code, len(set(events.output.split()))) == (exits.DONE, 2), events.errors
    assert len(await sent_to(kafka, names.event("shop.ordered"))) == 2
    assert (refused.code, len(refused.output.split())) == (exits.USAGE, 1)
    assert "line 2: Refund.account: " in error_of(refused)
    assert error_of(refused).endswith("1 were sent")
    assert await sent_to(kafka, names.queue("bulk")) == [b'{"account":3}']


WRONG = [
    (("enqueue", "nobody", "{}"), "names are: charge, nap, refund"),
    (("enqueue", "cli_handlers.ship", "{}"), "use emit"),
    (("enqueue", "charge", "not json"), "Charge: Invalid JSON"),
    (("enqueue", "charge", "-", "--id", "x"), "--id names one job"),
    (("emit", "shop.closed", "{}"), "event types are: shop.ordered"),
    (("jobs", "wait", "x", "--timeout", "soon"), "--timeout: "),
    (("dlq", "ls"), "there is no topic"),
    (("dlq", "replay", "--all", "--timeout", "soon"), "--timeout: "),
]


@pytest.mark.parametrize(
    ("arguments", "why"), WRONG, ids=[" ".join(arguments) for arguments, _ in WRONG]
)
async def test_what_makes_no_sense_is_usage_and_one_line(
    cli: Cli, arguments: tuple[str, ...], why: str
) -> None:
    said = await cli.run(*arguments)
    assert said.code == exits.USAGE
    assert why in error_of(said)
    assert said.output == ""


async def test_jobs_are_shown_waited_for_and_cancelled(
    cli: Cli, client: JobClient, worker: WorkerProcess
) -> None:
    # given jobs that complete, wait for their time, run without end, and share an id
    worker.start()
    done = (await client.enqueue(Charge(account=5))).id
    later = (await client.enqueue(Charge(account=6), delay="1h")).id
    running = (await client.enqueue(Nap())).id
    await client.enqueue(Charge(account=9), id="twice")
    await client.enqueue(Refund(account=9), id="twice", delay="1h")
    shipped = fan_out_id("cli_handlers.ship", "test", await client.emit(Ordered(order=7)))

    # then a wait ends with the job, and knows what became of it
    code, job = await wait_until_over(cli, done)
    assert (code, job["state"], job["result"]) == (exits.DONE, "completed", 5)
    assert [attempt["outcome"] for attempt in job["history"]] == ["completed"]
    code, job = await wait_until_over(cli, shipped)
    assert (code, job["name"], job["result"]) == (exits.DONE, "cli_handlers.ship", 7)

    # and what is not over is shown as it stands, an unknown one not at all
    shown, unknown, misnamed, ambiguous, one, impatient = await asyncio.gather(
        cli.run("jobs", "show", later, "--json"),
        cli.run("jobs", "show", "nobody"),
        cli.run("jobs", "show", "twice", "--name", "refnd"),
        cli.run("jobs", "show", "twice"),
        cli.run("jobs", "show", "twice", "--name", "refund", "--queue", "bulk", "--json"),
        cli.run("jobs", "wait", later, "--timeout", "200ms"),
    )
    assert (shown.code, shown.json["state"]) == (exits.DONE, "scheduled")
    assert shown.json["due"] > shown.json["time"]
    assert unknown.code == exits.NOT_FOUND
    assert "no job has the id nobody" in error_of(unknown)
    assert misnamed.code == exits.NOT_FOUND
    assert "is named 'refnd'; did you mean refund?" in error_of(misnamed)
    assert ambiguous.code == exits.USAGE
    assert "2 jobs have the id twice: add --name or --queue" in error_of(ambiguous)
    assert (one.code, one.json["name"]) == (exits.DONE, "refund")
    assert impatient.code == exits.NEGATIVE
    assert f"job {later} is scheduled after 200ms" in error_of(impatient)

    # when two get another time, then one comes earlier, and one waits longer
    soon, longer, naive, both, neither, over = await asyncio.gather(
        cli.run("jobs", "reschedule", "twice", "--name", "refund", "--delay", "0s"),
        cli.run("jobs", "reschedule", later, "--run-at", "2100-01-01T00:00+01:00"),
        cli.run("jobs", "reschedule", later, "--run-at", "2100-01-01T00:00"),
        cli.run("jobs", "reschedule", later, "--delay", "1h", "--run-at", "2100-01-01T00:00Z"),
        cli.run("jobs", "reschedule", later),
        cli.run("jobs", "reschedule", done, "--delay", "1h"),
    )
    assert (soon.code, longer.code) == (exits.DONE, exits.DONE), soon.errors + longer.errors
    for refused, why in (
        (naive, "has no time zone: write 2100-01-01T00:00+01:00"),
        (both, "give either --delay or --run-at, not both"),
        (neither, "say when"),
    ):
        assert refused.code == exits.USAGE
        assert why in error_of(refused)
    assert over.code == exits.NEGATIVE
    assert f"job {done} is completed: it does not wait" in error_of(over)
    ended = await cli.run("jobs", "wait", "twice", "--name", "refund", "--json")
    assert (ended.code, ended.json["state"]) == (exits.NEGATIVE, "dead")  # its card is blocked
    async with asyncio.timeout(30):
        while (await cli.run("jobs", "show", later, "--json")).json["due"] != 4_102_441_200_000:
            pass

    # when two are cancelled, then they are over; what is over stays what it is
    asked, also, too_late = await asyncio.gather(
        cli.run("jobs", "cancel", later, "--reason", "changed our mind"),
        cli.run("jobs", "cancel", running),
        cli.run("jobs", "cancel", done),
    )
    assert (asked.code, also.code) == (exits.DONE, exits.DONE), asked.errors + also.errors
    assert too_late.code == exits.NEGATIVE
    assert f"job {done} is completed already" in error_of(too_late)
    endings = await asyncio.gather(*(wait_until_over(cli, id) for id in (later, running)))
    assert [(code, job["state"]) for code, job in endings] == [(exits.NEGATIVE, "cancelled")] * 2


async def letters(cli: Cli, *filters: str) -> list[dict[str, Any]]:
    said = await cli.run("dlq", "ls", "--json", *filters)
    assert said.code == exits.DONE, said.errors
    listed: list[dict[str, Any]] = said.json["letters"]
    return listed


async def test_dead_letters_are_shown_chosen_and_replayed(
    cli: Cli, client: JobClient, worker: WorkerProcess, mended: Path
) -> None:
    assert (await cli.run("dlq", "replay", "--all")).output == "there are no dead letters\n"
    # given two dead jobs of one name, and two of another in another queue
    worker.start()
    dead = [
        await client.enqueue(Charge(account=-1), id="one"),
        await client.enqueue(Charge(account=-2), id="two"),
        await client.enqueue(Refund(account=-1), id="three"),
        await client.enqueue(Refund(account=-2), id="one"),
    ]
    waits = (handle.result(timeout="60s") for handle in dead)
    for error in await asyncio.gather(*waits, return_exceptions=True):
        assert isinstance(error, JobFailed)

    # then they are listed, and shown whole
    listed, bulk = await asyncio.gather(
        letters(cli), letters(cli, "--queue", "bulk", "--job", "refund")
    )
    assert {(one["job"], one["letter"]) for one in listed} == {(h.name, h.id) for h in dead}
    assert {one["letter"] for one in bulk} == {"one", "three"}
    shown, unknown, ambiguous, unasked = await asyncio.gather(
        cli.run("dlq", "show", "one", "--job", "charge", "--json"),
        cli.run("dlq", "show", "four"),
        cli.run("dlq", "replay", "one"),
        cli.run("dlq", "replay", "--all"),
    )
    assert shown.code == exits.DONE
    assert shown.json["error"] == "streams.errors.PermanentError"
    assert shown.json["message"] == "the card is blocked"
    assert shown.json["payload"] == '{"account":-1}'
    assert shown.json["headers"]["ce_id"] == "one"
    assert "PermanentError" in shown.json["trace"]
    assert unknown.code == exits.NOT_FOUND
    assert "there is no dead letter four" in error_of(unknown)
    assert ambiguous.code == exits.USAGE
    assert "2 letters are named one: add --job, --queue or --key" in error_of(ambiguous)
    assert unasked.code == exits.USAGE
    assert "Replay 4 dead letters? Nobody is there to answer: add --yes" in error_of(unasked)

    # when one of them is replayed, and all that a filter leaves
    mended.touch()  # noqa: ASYNC240
    one = await cli.run("dlq", "replay", "one", "--queue", "bulk")
    assert (one.code, one.output) == (exits.DONE, "1 of 1 replayed\n"), one.errors
    some = await cli.run("dlq", "replay", "--job", "charge", "--yes")
    assert (some.code, some.output) == (exits.DONE, "2 of 2 replayed\n"), some.errors

    # then it completes in its next generation, and the letter that is left is the other
    said = await cli.run("jobs", "wait", "two", "--json")
    assert (said.code, said.json["generation"]) == (exits.DONE, 1), said.errors
    assert [one["letter"] for one in await letters(cli)] == ["three"]

    # when no worker is there, then it says so, and the replay is done as soon as one is
    assert worker.stop() == 0, worker.log
    late = await cli.run("dlq", "replay", "--all", "--yes", "--timeout", "200ms")
    assert (late.code, late.output) == (exits.NEGATIVE, "0 of 1 replayed\n")
    assert "no worker replayed three within 0.2 s" in error_of(late)
    worker.start()
    code, job = await wait_until_replayed(cli, "three")
    assert (code, job["generation"]) == (exits.DONE, 1)
    assert await letters(cli) == []


async def wait_until_replayed(cli: Cli, id: str) -> tuple[int, dict[str, Any]]:
    """`jobs wait` takes a job that is dead for over: ask until it is dead no more."""
    while (said := await cli.run("jobs", "wait", id, "--json")).json["state"] == "dead":
        pass
    return said.code, said.json
