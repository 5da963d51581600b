"""What a handler took and returned, as JSON: payloads that do not fit, results within bounds."""

from __future__ import annotations

from typing import Any, Final

from pydantic import ValidationError

from streams.jobs.as_json import as_json
from streams.jobs.outcome import Completed, Failure

RESULT_MAX: Final = 64 * 1024  # bytes of JSON kept with a job


def dumped(result: Any) -> bytes | None:
    """What a handler returned, as JSON; None stays None.

    Raises:
        TypeError: a part of it can't be; the message names it.
    """
    return None if result is None else as_json(result, "result")


def completed(result: Any) -> Completed:
    """The outcome of a handler that returned this.

    Raises:
        TypeError: a part of it can't be kept as JSON; the message names it.
        ValueError: it is too large to be kept with the job.
    """
    return Completed(None) if result is None else within_bound(as_json(result, "result"))


def within_bound(result: bytes | None) -> Completed:
    """Likewise, of what is JSON already."""
    if result is not None and len(result) > RESULT_MAX:
        raise ValueError(
            f"the result has {len(result)} bytes, the limit is {RESULT_MAX}: "
            "store it elsewhere and return a reference"
        )
    return Completed(result)


def misfit(error: ValidationError) -> Failure:
    """Why a payload does not fit its contract, with the field."""
    first = error.errors(include_url=False, include_input=False)[0]
    field = ".".join(str(part) for part in first["loc"]) or "payload"
    return Failure(type="PayloadInvalid", message=f"{field}: {first['msg']}", trace="")
