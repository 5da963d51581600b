"""What a call for many jobs says to the breaker of its definition."""

from __future__ import annotations

import pytest

from streams.jobs.outcome import Completed, Dead, Discarded, Failure, Outcome, Retrying, Snoozed
from streams.worker.batch_calls import outcome_of_call
from streams.worker.circuit import failed

FAILURE = Failure(type="ConnectionError", message="", trace="")
RETRYING = Retrying(1_000, FAILURE)
MISFIT = Dead(FAILURE, is_permanent=True)
DISCARDED = Discarded("no need")
SNOOZED = Snoozed(1_000)


@pytest.mark.parametrize(
    ("outcomes", "speaks_against"),
    [
        ([], None),  # a call for nobody
        ([None, RETRYING], False),
        ([RETRYING, Completed(None)], False),
        ([RETRYING, RETRYING], True),
        ([SNOOZED, RETRYING], True),
        ([DISCARDED, RETRYING], True),
        ([MISFIT, Dead(FAILURE)], True),
        ([MISFIT], None),
        ([DISCARDED, SNOOZED], None),
    ],
)
def test_one_success_speaks_for_what_all_depend_on_and_else_a_failure_against_it(
    outcomes: list[Outcome | None], speaks_against: bool | None
):
    assert failed(outcome_of_call(outcomes)) is speaks_against
