"""Which ledger record is the answer to a job that was sent again."""

from __future__ import annotations

from dataclasses import replace

import pytest

from streams.client_story import answers
from streams.jobs.identity import JobKey
from streams.jobs.states import State
from streams.wire.state import REPLACED, LedgerRecord, decode_ledger, encode_ledger
from streams.worker.triage import is_covered

RECORD = LedgerRecord(
    job=JobKey(name="a", ordering_key=None, id="1"), state=State.COMPLETED, time=1_000,
    generation=0, run=0, attempts=1, ended=5_000, unique_for_ms=100,
)  # fmt: skip


@pytest.mark.parametrize(
    ("sent", "answered"),
    [(900, True), (1_000, True), (4_000, True), (5_099, True), (5_100, False), (9_000, False)],
)
def test_a_record_answers_what_was_dropped_for_it(sent: int, answered: bool) -> None:
    assert answers(RECORD, sent) is answered
    # the worker, which drops it or not, agrees
    assert is_covered(sent, RECORD, RECORD.unique_for_ms) is answered


def test_a_record_of_what_was_replaced_answers_nobody_who_came_later() -> None:
    replaced = replace(RECORD, state=State.DISCARDED, reason=REPLACED)
    assert [answers(replaced, sent) for sent in (900, 1_000, 1_001, 5_099)] == [
        *(True, True),
        *(False, False),
    ]
    assert answers(replace(replaced, reason="by hand"), 1_001)


def test_the_record_carries_what_the_rule_needs() -> None:
    key, value = encode_ledger(RECORD)

    assert decode_ledger(key, value) == RECORD
    assert decode_ledger(key, value.replace(b"unique_for_ms", b"x")).unique_for_ms == 86_400_000
