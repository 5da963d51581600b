"""Jobs that are alike, on real Kafka with two workers, one of which is killed."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from itertools import pairwise
from pathlib import Path

from aiokafka import ConsumerRecord
from alike_handlers import Debounced, Single, Throttled
from fleet_of_two import PARTITIONS, two_workers
from topics import read_all

from streams.wire.state import LedgerRecord, decode_ledger
from streams.wire.topics import TopicNames

KINDS = (Throttled, Debounced, Single)
ACCOUNTS, ROUNDS = 10, 8
QUIET_MS, AT_MOST_MS = 2_000, 10_000


def id_of(record: ConsumerRecord) -> str:
    return dict(record.headers)["ce_id"].decode()  # type: ignore[no-any-return]


def replaced_by(records: list[ConsumerRecord]) -> dict[str, str]:
    """Of the debounced jobs of a key those that others took the place of, by the broker's times."""
    found: dict[str, str] = {}
    since, due = 0, -1
    for waits, record in pairwise([records[0], *records]):
        if record.timestamp < due:
            found[id_of(waits)] = id_of(record)
        else:
            since = record.timestamp
        due = min(record.timestamp + QUIET_MS, since + AT_MOST_MS)
    return found


async def test_of_those_that_are_alike_one_runs_though_a_worker_is_killed(
    kafka: str, prefix: str, tmp_path: Path
) -> None:
    names = TopicNames(prefix)
    async with two_workers(kafka, prefix, tmp_path, "alike_handlers") as (fleet, client):
        # given jobs of each kind and key
        async def send(n: int) -> list:  # type: ignore[type-arg]
            return [
                await client.enqueue(
                    kind(account=account, n=n), id=f"{kind.__job_name__}-{account}-{n}"
                )
                for account in range(ACCOUNTS)
                for kind in KINDS
            ]

        handles = await send(0)
        await fleet.until(lambda lines: len({line[4] for line in lines}) == 2)
        # when one worker is killed in the middle of it, and more come meanwhile
        fleet.workers["a"].kill()
        for n in range(1, ROUNDS):
            handles += await send(n)
        # then each one is over
        await asyncio.gather(
            *(handle.result(timeout="120s") for handle in handles), return_exceptions=True
        )
    over: dict[str, list[LedgerRecord]] = defaultdict(list)
    for record in await read_all(kafka, names.ledger("default"), PARTITIONS):
        if record.value is not None and not record.key.startswith(b"#"):
            found = decode_ledger(record.key, record.value)
            over[found.job.id].append(found)
    assert len(over) == len(handles) == ACCOUNTS * ROUNDS * len(KINDS)
    # and says the same whoever has settled it
    reasons = {id: {(one.state.value, one.reason) for one in found} for id, found in over.items()}
    keys: dict[bytes, list[ConsumerRecord]] = defaultdict(list)
    for record in await read_all(kafka, names.queue("default"), PARTITIONS):
        keys[record.key].append(record)
    expected: dict[str, set[tuple[str, str]]] = {}
    for key, records in keys.items():
        for record in records:
            expected[id_of(record)] = {("completed", "")}
        first = id_of(records[0])
        if key.startswith(b"debounced"):
            for id, by in replaced_by(records).items():
                expected[id] = {("discarded", f"debounced: {by} came after it")}
            continue
        why = f"unique: {first} is the same"
        if key.startswith(b"throttled"):
            why = f"throttled: {first} of this key came first"
        for record in records[1:]:
            expected[id_of(record)] = {("discarded", why)}
    assert reasons == expected
    # and nobody but those ran
    ran = {f"{kind}-{account}-{n}" for _, kind, account, n, _ in fleet.lines}
    assert ran == {id for id, told in expected.items() if told == {("completed", "")}}
