"""Runs a function to its outcome without a loop: in a worker process, in-line in the sandbox."""

from __future__ import annotations

import random
from collections.abc import Coroutine
from functools import partial
from typing import Any, TypeVar

from pydantic import ValidationError

from streams.jobs.context import JobContext
from streams.jobs.definition import JobDefinition
from streams.jobs.outcome import Completed, Dead, Outcome
from streams.jobs.retry import Retry, outcome_of_error
from streams.sensitive import secrets_of
from streams.worker.results import dumped, misfit

T = TypeVar("T")


def run_plainly(
    definition: JobDefinition, payload: bytes, context: JobContext, retry: Retry
) -> Outcome:
    """Call the handler; what it raises is judged here, where the error itself is at hand."""
    try:
        model = definition.payload_type.model_validate_json(payload)
    except ValidationError as error:
        return Dead(misfit(definition.payload_type, error), is_permanent=True)
    context.find_secrets = partial(secrets_of, definition.payload_type, payload)
    try:
        return Completed(dumped(definition.call(model, context)))
    except BaseException as error:  # a panic of native code, say; a sys.exit() ends no process
        return outcome_of_error(
            error,
            attempt=context.attempt,
            max_attempts=context.max_attempts,
            retry=retry,
            random=random.random,
            secrets=context.secrets,
        )


def drive(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine that never waits for a loop, and return what it returns."""
    while True:
        try:
            waits_for = coroutine.send(None)
        except StopIteration as end:
            returned: T = end.value
            return returned
        if waits_for is not None:  # else it only lets others go first
            coroutine.close()
            raise RuntimeError("a call of the context waits for a loop, and none runs here")
