"""The recount's judge: a ledger that adds up passes, and each way to fall short is named."""

from __future__ import annotations

import orjson

from streams.dev.bench.load import fields_of, id_of, job_envelope, placed
from streams.dev.bench.recount import Ledger, faults
from streams.wire.envelope import Record, decode


def ledger_of(*rows: tuple[str, str, str]) -> Ledger:
    """A ledger of rows (ordering key, id, state), one millisecond apart."""
    ledger = Ledger()
    for stamp, (key, id_, state) in enumerate(rows):
        ledger.take(orjson.dumps(["job", key, id_]), orjson.dumps({"state": state}), stamp)
    return ledger


EXPECTED = {"a": 0, "b": 1, "c": 2}


def test_each_job_once_completed_and_in_order_adds_up() -> None:
    done = ledger_of(("k2", "b", "completed"), ("k1", "a", "completed"), ("k1", "c", "completed"))

    assert faults(done, EXPECTED) == []
    assert sum(done.stamps.values()) == 3


def test_a_missing_job_is_named() -> None:
    assert faults(ledger_of(("k", "a", "completed")), EXPECTED) == ["2 of 3 jobs are missing"]


def test_a_job_that_was_never_enqueued_is_named() -> None:
    found = faults(ledger_of(("k", "a", "completed"), ("k", "x", "completed")), {"a": 0})

    assert found == ["1 jobs were never enqueued"]


def test_a_second_record_of_an_id_is_named() -> None:
    found = faults(ledger_of(("k", "a", "completed"), ("k", "a", "completed")), {"a": 0})

    assert found == ["1 jobs are there more than once"]


def test_a_job_that_did_not_complete_is_named() -> None:
    found = faults(ledger_of(("k", "a", "discarded")), {"a": 0})

    assert found == ["not completed: {'discarded': 1}"]


def test_a_key_out_of_order_is_named() -> None:
    found = faults(
        ledger_of(("k", "c", "completed"), ("k", "a", "completed"), ("l", "b", "completed")),
        EXPECTED,
    )

    assert found == ["1 keys are out of order"]


def test_what_is_filled_in_is_what_a_client_sends() -> None:
    # given a job of the load
    ((partition, (key, value, headers)),) = placed(
        [job_envelope("bench.noop", "default", 12_345, 1_700_000_000_000)], 8
    )

    # when a worker reads it
    envelope = decode(Record("jobs.default", partition, 0, 0, key, value, tuple(headers)))

    # then it has an id of its own, one of 10,000 keys, and at least six headers
    assert (envelope.id, envelope.key) == (id_of(12_345), "bench.noop:2345")
    assert orjson.loads(envelope.payload) == fields_of(12_345)
    assert len(headers) >= 6
