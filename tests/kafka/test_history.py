"""Old events through new code, by the command line, on a real Kafka."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import effects
import orjson
import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from cli_process import Cli
from history_handlers import USERS, SignedUp, welcome
from topics import create_topics, read_all
from worker_process import WorkerProcess

from streams.client import JobClient
from streams.replay.actions_log import read_actions
from streams.replay.again import Again, SentAgain, send_again
from streams.replay.chosen import Chosen
from streams.replay.history import open_history
from streams.replay.workers import read_workers
from streams.wire.by_time import by_time
from streams.wire.reader import open_reader, partition_counts
from streams.wire.topics import TopicNames

QUEUES = ("default", "history")
SINCE = ("--since", "1h")


@pytest.fixture
def variables(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, str]]:
    """Settings of worker and command line."""
    settings = {
        "STREAMS_QUEUES": ",".join(QUEUES),
        "STREAMS_PROCESSES": "1",
        "STREAMS_OBJECTS": str(tmp_path / "objects"),
        "EFFECTS": str(tmp_path / "effects"),
    }
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    yield settings


async def settled(kafka: str, prefix: str, queue: str, wanted: int) -> None:
    """Return once so many jobs of a queue are over or dead."""
    names = TopicNames(prefix)
    limit = time.monotonic() + 90
    while True:
        found = {
            record.key
            for topic in (names.ledger(queue), names.retry(queue))
            for record in await read_all(kafka, topic)
            if record.value is not None and _is_settled(record.key, record.value)
        }
        if len(found) >= wanted:
            return
        assert time.monotonic() < limit, f"{len(found)} of {wanted} are settled"
        await asyncio.sleep(0.2)


def _is_settled(key: bytes, value: bytes) -> bool:
    if key.startswith(b"#"):
        return False
    state = orjson.loads(value.partition(b"\n")[0])["state"]
    return state in ("completed", "dead", "discarded")


async def ends(kafka: str, prefix: str) -> dict[TopicPartition, int]:
    """Where every topic of a test ends."""
    counts = await partition_counts(kafka)
    places = [
        TopicPartition(topic, number)
        for topic, count in counts.items()
        if topic.startswith(prefix)
        for number in range(count)
    ]
    consumer = AIOKafkaConsumer(bootstrap_servers=kafka)
    await consumer.start()
    try:
        found: dict[TopicPartition, int] = await consumer.end_offsets(places)
        return found
    finally:
        await consumer.stop()


async def let_run(kafka: str, prefix: str, worker: WorkerProcess) -> None:
    """Emit events, and wait until their jobs and these's children are over."""
    async with JobClient(kafka, source="web", prefix=prefix) as client:
        for user in range(USERS):
            await client.emit(SignedUp(user_id=user))
    children = USERS - 1 + USERS  # one welcome fails
    try:
        await settled(kafka, prefix, "default", 3 * USERS + children)
    except AssertionError as error:
        raise AssertionError(f"{error}\n{worker.log}") from None


async def test_a_shadow_replay_tells_what_new_code_would_change_and_changes_nothing(
    kafka: str,
    prefix: str,
    tmp_path: Path,
    variables: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    await create_topics(kafka, prefix, queues=QUEUES, events=["user.signed_up"])
    with WorkerProcess(kafka, prefix, "history_handlers", tmp_path, **variables) as worker:
        await let_run(kafka, prefix, worker)
    before = await ends(kafka, prefix)
    did = effects.lines(Path(variables["EFFECTS"]))
    cli = Cli(kafka, prefix, "history_handlers")
    replay = ("history", "replay", "user.signed_up", *SINCE, "--shadow", "--json")

    # given the code that ran, all is the same, but for the time that is in a result
    said = await cli.run(*replay, "--ignore", "at")
    assert (said.code, said.json["same"], said.json["different"]) == (0, 3 * USERS, 0), said
    assert said.json["heldBack"] == {"greet": 2 * USERS - 1}
    assert "measuring" in said.errors  # what handlers print is no part of the report
    told = await cli.run(*replay, "--job", "welcome")
    assert (told.code, told.json["byWhat"]) == (1, {"result": USERS - 1})

    # given new code, it is told what it changes
    monkeypatch.setenv("CHANGED", "raises greets result")
    new = Cli(kafka, prefix, "history_handlers")
    said = await new.run(*replay, "--ignore", "at")
    assert (said.code, said.json["different"], said.json["unrecorded"]) == (1, 3, 0), said
    assert said.json["byJob"]["welcome"] == {"same": USERS - 3, "different": 3, "unrecorded": 0}
    assert told_of(said.json) == {
        "welcome:4": [("outcome", "completed", "failed: KeyError: 'address'")],
        "welcome:5": [
            (
                "sent",
                'greet for greet:5 {"how":"hello","user_id":5}',
                'greet for greet:5 {"how":"bye","user_id":5}',
            )
        ],
        "welcome:6": [("result", '{"user":6}', '{"user":-6}')],
    }

    # and of one key alone, for people
    said = await new.run(*replay[:-1], "--ignore", "at", "--key", "4")
    assert said.code == 1
    assert "failed: KeyError: 'address'" in said.output
    assert 'raise KeyError("address")' in said.output
    assert "1 events, 3 jobs: 1 differ" in said.output
    said = await new.run(*replay, "--ignore", "at", "--limit", "2", "--job", "measure")
    assert (said.code, said.json["events"], said.json["same"]) == (0, 2, 2)

    # and a field that nothing has is no field
    said = await cli.run(*replay, "--ignore", "att", "--job", "welcome")
    assert (said.code, said.json["different"]) == (2, USERS - 1), said
    assert "--ignore att: nothing that was compared has this field; did you" in said.errors

    # and code that ends its process is named
    monkeypatch.setenv("CHANGED", "ends")
    ending = Cli(kafka, prefix, "history_handlers")
    said = await ending.run(*replay, "--job", "welcome")
    assert said.code == 1, said
    assert "ended with exit code 0" in said.errors
    assert "welcome" in said.errors
    assert "4" in {one["key"].partition(":")[2] for one in said.json["running"]}

    # and nothing was sent, written, or done
    assert await ends(kafka, prefix) == before
    assert effects.lines(Path(variables["EFFECTS"])) == did


def told_of(report: Any) -> dict[str, list[tuple[str, str, str]]]:
    return {
        one["key"]: [(each["what"], each["then"], each["now"]) for each in one["differences"]]
        for one in report["differences"]
    }


async def test_a_replay_runs_each_event_once_more_in_a_queue_of_its_own(
    kafka: str, prefix: str, tmp_path: Path, variables: dict[str, str]
) -> None:
    names = TopicNames(prefix)
    cli = Cli(kafka, prefix, "history_handlers")
    replay = ("history", "replay", "user.signed_up", *SINCE, "--job", "welcome", "--json")
    await create_topics(kafka, prefix, queues=["default"], events=["user.signed_up"])
    said = await cli.run(*replay, "--yes")
    assert said.code == 2
    assert "STREAMS_QUEUES=critical,default,bulk,history" in said.errors

    await create_topics(kafka, prefix, queues=QUEUES, events=["user.signed_up"])
    named = (*replay, "--run", "april", "--rate", "1000/s", "--yes")
    with WorkerProcess(kafka, prefix, "history_handlers", tmp_path, **variables) as worker:
        await let_run(kafka, prefix, worker)
        said = await cli.run(*replay, "--dry-run")
        assert said.json == {"events": USERS, "jobs": {"welcome": USERS}}

        said = await cli.run(*named)
        assert said.code == 0, said
        assert (said.json["run"], said.json["sent"]) == ("april", USERS)
        await settled(kafka, prefix, "history", USERS)

        # when it is repeated, nothing is sent; and if it were, it would be known
        said = await cli.run(*named)
        assert (said.code, said.json["sent"], said.json["sentBefore"]) == (0, 0, USERS)
        said = await cli.run(*named, "--queue", "default")
        assert said.code == 2, said
        assert "--run april has sent jobs to the queue history" in said.errors
        said = await cli.run(*named, "--limit", "3")
        assert (said.code, said.json["sent"], said.json["sentBefore"]) == (0, 0, 3), said
        assert "--run april was `user.signed_up --since 1h --job welcome` before" in said.errors
        await send_all_again(kafka, names)
        said = await cli.run(*named[:-5], "--run", "may", "--yes", "--limit", "1")
        assert said.json["sent"] == 1
        await settled(kafka, prefix, "history", USERS + 1)

    done = effects.lines(Path(variables["EFFECTS"]))
    assert Counter(run for _, _, run, _ in done) == {"None": USERS, "april": USERS, "may": 1}
    assert len({id for *_, id in done}) == 2 * USERS + 1
    assert {user for _, user, run, _ in done if run == "april"} == set(map(str, range(USERS)))
    acts = await read_actions(kafka, names.actions)
    assert [(act.what, act.counts["sent"]) for act, _ in acts if act.counts.get("sent")] == [
        ("history replay", 1),
        ("history replay", USERS),
    ]


async def test_workers_that_lack_the_handler_are_told_before_anything_is_sent(
    kafka: str, prefix: str, tmp_path: Path, variables: dict[str, str]
) -> None:
    await create_topics(kafka, prefix, queues=QUEUES, events=["user.signed_up"])
    async with JobClient(kafka, source="web", prefix=prefix) as client:
        await client.emit(SignedUp(user_id=1))
    cli = Cli(kafka, prefix, "history_handlers")
    with WorkerProcess(kafka, prefix, "large_handlers", tmp_path, **variables) as worker:
        await served(kafka, prefix, "history", worker)
        said = await cli.run(
            "history", "replay", "user.signed_up", *SINCE, "--job", "welcome", "--dry-run"
        )
    assert said.code == 0, said
    assert "serves the queue history and has no handler welcome" in said.errors


async def served(kafka: str, prefix: str, queue: str, worker: WorkerProcess) -> None:
    """Return once a worker says that it serves a queue."""
    limit = time.monotonic() + 60
    while True:
        workers = await read_workers(kafka, TopicNames(prefix).workers)
        if any(queue in each.partitions for each in workers):
            return
        assert time.monotonic() < limit, worker.log
        await asyncio.sleep(0.2)


async def test_who_interrupts_a_shadow_replay_is_told_what_was_found(
    kafka: str,
    prefix: str,
    variables: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    await create_topics(kafka, prefix, queues=QUEUES, events=["user.signed_up"])
    async with JobClient(kafka, source="web", prefix=prefix) as client:
        for user in range(USERS):
            await client.emit(SignedUp(user_id=user))
    monkeypatch.setenv("CHANGED", "hangs")
    cli = Cli(kafka, prefix, "history_handlers")
    replay = ("history", "replay", "user.signed_up", *SINCE, "--shadow", "--json")
    running = asyncio.create_task(cli.run(*replay, "--job", "welcome"))
    file = Path(variables["EFFECTS"])
    await effects.until(file, lambda found: len(found) == USERS + 1, lambda: "", 60)
    cli.interrupt()
    said = await running

    assert said.code == 130, said
    assert "interrupted" in said.errors
    assert said.json["unrecorded"] == USERS - 1
    assert said.json["whyUnrecorded"] == {"no record of it is left": USERS - 1}
    assert said.json["unrecordedNow"] == {"completed": USERS - 2, "failed": 1}
    failed, *_ = said.json["unrecordedShown"]
    assert failed["failed"]["error"] == "streams.errors.PermanentError"
    assert "this one never works" in failed["failed"]["trace"]


async def test_where_nothing_is_found_or_nothing_is_on_record_the_exit_code_says_so(
    kafka: str, prefix: str, variables: dict[str, str]
) -> None:
    await create_topics(kafka, prefix, queues=QUEUES, events=["user.signed_up"])
    cli = Cli(kafka, prefix, "history_handlers")
    replay = ("history", "replay", "user.signed_up", *SINCE, "--job", "in_vain")
    for how in ("--shadow", "--dry-run", "--yes"):
        said = await cli.run(*replay, how)
        assert said.code == 3, said
        assert f"there are no such events: user.signed_up {' '.join(SINCE)}" in said.errors

    async with JobClient(kafka, source="web", prefix=prefix) as client:
        await client.emit(SignedUp(user_id=1))
    said = await cli.run(*replay, "--shadow")
    assert said.code == 3, said
    assert "nothing was compared" in said.errors


async def test_a_replay_keeps_its_rate_and_the_order_of_each_key(
    kafka: str, prefix: str, variables: dict[str, str]
) -> None:
    names = TopicNames(prefix)
    await create_topics(kafka, prefix, queues=QUEUES, events=["user.signed_up"])
    emitted: dict[str, list[str]] = {}
    async with JobClient(kafka, source="web", prefix=prefix) as client:
        for number in range(30):
            user = number % 3
            event = await client.emit(SignedUp(user_id=user))
            emitted.setdefault(f"welcome:{user}", []).append(event)
    cli = Cli(kafka, prefix, "history_handlers")
    replay = ("history", "replay", "user.signed_up", *SINCE, "--job", "welcome", "--json", "--yes")
    began = time.monotonic()
    said = await cli.run(*replay, "--rate", "20/s")
    assert said.json["sent"] == 30
    assert time.monotonic() - began > 29 / 20
    assert "no worker serves the queue history" in said.errors

    sent: dict[str, list[str]] = {}
    for record in await read_all(kafka, names.queue("history")):
        parent = dict(record.headers)["ce_parent"].decode()
        sent.setdefault(record.key.decode(), []).append(parent)
    assert sent == emitted


async def test_a_part_of_the_events_is_the_oldest_of_all_partitions_each_time(
    kafka: str, prefix: str, variables: dict[str, str]
) -> None:
    names = TopicNames(prefix)
    await create_topics(kafka, prefix, queues=QUEUES, events=["user.signed_up"])
    async with JobClient(kafka, source="web", prefix=prefix) as client:
        for user in range(40):
            await client.emit(SignedUp(user_id=user))
    records = await read_all(kafka, names.event("user.signed_up"))
    assert {record.partition for record in records} == {0, 1}
    records.sort(key=lambda record: (record.timestamp, record.partition, record.offset))
    oldest = [dict(record.headers)["ce_id"].decode() for record in records][:7]

    cli = Cli(kafka, prefix, "history_handlers")
    replay = ("history", "replay", "user.signed_up", *SINCE, "--job", "in_vain", "--limit", "7")
    for name in ("one", "two"):
        said = await cli.run(*replay, "--run", name, "--yes", "--json")
        assert said.json["sent"] == 7, said
    sent: dict[str, set[str]] = {"one": set(), "two": set()}
    for record in await read_all(kafka, names.queue("history")):
        headers = {name: value.decode() for name, value in record.headers}
        sent[headers["ce_replayrun"]].add(headers["ce_parent"])
    assert {name: len(ids) for name, ids in sent.items()} == {"one": 7, "two": 7}
    assert sent["one"] == sent["two"]
    assert {parent.rpartition(":")[2] for parent in sent["one"]} == set(oldest)


async def test_records_of_all_partitions_come_by_their_times(kafka: str, prefix: str) -> None:
    await create_topics(kafka, prefix, queues=["default"], events=[])
    topic = TopicNames(prefix).queue("default")
    times = {0: [10, 40, 30, 90], 1: [20, 20, 80]}
    producer = AIOKafkaProducer(bootstrap_servers=kafka)
    await producer.start()
    for partition, its in times.items():
        for at in its:
            await producer.send_and_wait(topic, b"", partition=partition, timestamp_ms=at)
    await producer.stop()
    async with open_reader(kafka, {topic: 2}) as reader:
        stretches = await reader.seek_between(None, None)
        found = [(r.timestamp, r.partition) async for r in by_time(reader, stretches)]
        assert found == [(10, 0), (20, 1), (20, 1), (40, 0), (30, 0), (80, 1), (90, 0)]
    async with open_reader(kafka, {topic: 2}) as reader:
        stretches = await reader.seek_between(None, None)
        part = [each._replace(end=2) for each in stretches]
        found = [(r.timestamp, r.partition) async for r in by_time(reader, part)]
        assert found == [(10, 0), (20, 1), (20, 1), (40, 0)]


async def send_all_again(kafka: str, names: TopicNames) -> None:
    """As one does who does not know what was sent."""
    so_far = SentAgain()
    chosen = Chosen([welcome.__job_definition__])
    async with open_history(kafka, names.event("user.signed_up"), "user.signed_up") as past:
        await send_again(
            kafka,
            names,
            "history",
            Again("april", "history"),
            chosen.of(past.events()),
            there=frozenset(),
            rate=None,
            so_far=so_far,
        )
    assert so_far.sent == {"welcome": USERS}
