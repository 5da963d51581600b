"""What does not fit in `batch=`, told at start-up."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from streams import Batch, BatchContext, JobContext, JobPayload, RateLimit, job
from streams.jobs.definition import JobDefinition


class Row(JobPayload, name="rows.load", key="table"):
    table: str


class Note(JobPayload, name="notes.load"):
    n: int


def definition_of(handler: Any) -> JobDefinition:
    definition = handler.__job_definition__
    assert isinstance(definition, JobDefinition)
    return definition


def mistakes_of(handler: Any) -> str:
    return "\n".join(definition_of(handler).mistakes)


def test_a_handler_of_batches_takes_a_list_of_its_contract() -> None:
    @job(batch=Batch(100, wait="1s", by="key"), concurrency=2)
    async def load(rows: list[Row], ctx: BatchContext) -> None: ...

    @job(batch=Batch(2))
    def note(notes: Sequence[Note]) -> None: ...

    assert mistakes_of(load) == mistakes_of(note) == ""
    assert definition_of(load).payload_type is Row and definition_of(load).ctx_parameter == "ctx"
    assert definition_of(note).payload_type is Note and definition_of(note).runs_in == "thread"


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"batch": 100}, 'batch=100: write batch=Batch(100, wait="1s")'),
        ({"batch": Batch(1)}, "size=1 is no number from 2 to 1000"),
        ({"batch": Batch(1_001)}, "size=1001"),
        ({"batch": Batch(True)}, "size=True"),
        ({"batch": Batch(9, wait="soon")}, "wait='soon'"),
        ({"batch": Batch(9, wait="0s")}, "wait='0s' is not longer than nothing"),
        ({"batch": Batch(9, wait="2m")}, "wait='2m' is not longer than nothing, up to \"1m\""),
        ({"batch": Batch(9, by="table")}, "by='table': write by=\"key\""),
        ({"batch": Batch(9), "fair_by": "table"}, "batch and fair_by"),
        (
            {"batch": Batch(9), "key_concurrency": 2, "ordering": "none"},
            "batch and key_concurrency",
        ),
        (
            {"batch": Batch(9), "rate_limit": RateLimit(2, per="1s", by="key")},
            "batch and rate_limit",
        ),
    ],
)
def test_what_makes_no_sense_beside_or_in_a_batch(options: dict[str, Any], said: str) -> None:
    @job(**options)
    async def load(rows: list[Row]) -> None: ...

    assert said in mistakes_of(load)


def test_by_key_needs_a_key_and_a_process_takes_no_batches() -> None:
    @job(batch=Batch(9, by="key"))
    async def note(notes: list[Note]) -> None: ...

    assert 'by="key" needs a key' in mistakes_of(note)


def of_module(notes: list[Note]) -> None: ...


def test_a_process_takes_no_batches() -> None:
    assert "batch needs the loop or a thread" in mistakes_of(
        job(batch=Batch(9), runs_in="process")(of_module)
    )


def test_what_takes_one_payload_or_the_context_of_one_job_is_told() -> None:
    @job(batch=Batch(9))
    async def one(note: Note) -> None: ...

    @job(batch=Batch(9))
    async def plain(numbers: list[int]) -> None: ...

    @job(batch=Batch(9))
    async def wrong(notes: list[Note], ctx: JobContext) -> None: ...

    assert "takes a list of payloads" in mistakes_of(one)
    assert "is no contract" in mistakes_of(plain)
    assert "write BatchContext" in mistakes_of(wrong)
