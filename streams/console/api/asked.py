"""What requests about jobs bring: their bodies, as they are documented and checked."""

from __future__ import annotations

from typing import Annotated, Any, Final

from fastapi import Depends
from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field

from streams.client_request import JobOptions
from streams.console.enqueueing import TEXT_MAX, Asked
from streams.durations import to_ms
from streams.errors import PayloadInvalid
from streams.jobs.retry import Exponential, Fixed, Retry, retry_mistakes

BATCH_MAX: Final = 1_000
_YEARS_MS: Final = 10 * 366 * 86_400_000


def _duration(value: str) -> str:
    if to_ms(value) > _YEARS_MS:
        raise ValueError(f"{value!r} is longer than ten years")
    return value


Duration = Annotated[str, Field(max_length=32, examples=["10m"]), AfterValidator(_duration)]
Text = Annotated[str, Field(min_length=1, max_length=TEXT_MAX)]
Reason = Annotated[str, Field(max_length=TEXT_MAX)]


class Body(BaseModel):
    """A body without anything that nobody knows."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)


class Backoff(Body):
    """How long it waits before it is tried again: `delay` always, or `base` growing to `cap`."""

    delay: Duration | None = None
    base: Duration | None = None
    factor: float | None = Field(None, ge=1, le=100)
    cap: Duration | None = None
    jitter: bool = True

    def made(self) -> Exponential | Fixed:
        """As the engine has it."""
        if self.delay is not None:
            if self.base is not None or self.factor is not None or self.cap is not None:
                raise PayloadInvalid(
                    "options.backoff: give delay alone, or base, factor and cap",
                    field="options.backoff",
                )
            made: Exponential | Fixed = Fixed(self.delay)
        else:
            own = {"base": self.base, "factor": self.factor, "cap": self.cap}
            given: Any = {name: value for name, value in own.items() if value is not None}
            made = Exponential(**given, jitter=self.jitter)
        if wrong := retry_mistakes(Retry(backoff=made)):
            raise PayloadInvalid(f"options.backoff: {wrong[0]}", field="options.backoff")
        return made


class Options(Body):
    """What one job does differently than its definition says."""

    attempts: int | None = Field(None, ge=1, le=1_000)
    timeout: Duration | None = Field(None, description="Of one attempt.")
    expires: Duration | None = Field(None, description="After this it does not start any more.")
    backoff: Backoff | None = None


class NewJob(Body):
    """A job to enqueue."""

    name: Text = Field(examples=["reports.send"])
    payload: dict[str, Any] = Field(default_factory=dict, examples=[{"account_id": 7}])
    id: Text | None = Field(None, description="The same id again is the same job.")
    key: Text | None = Field(
        None, description="The ordering key, of a job whose contract is not known to the console."
    )
    delay: Duration | None = Field(None, description="It waits so long; or give `run_at`.")
    run_at: AwareDatetime | None = Field(None, examples=["2026-12-24T18:00:00+01:00"])
    queue: Text | None = Field(None, description="Another queue than its contract's.")
    options: Options | None = None

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "name": "reports.send",
                    "payload": {"account_id": 7, "month": "2026-11-01"},
                    "id": "report:7:2026-11",
                    "delay": "10m",
                    "options": {"attempts": 5},
                }
            ]
        }
    )

    def asked(self, idempotency_key: str | None = None) -> Asked:
        """As the engine has it.

        Raises:
            PayloadInvalid: parts of it contradict each other.
        """
        if idempotency_key is not None and self.id not in (None, idempotency_key):
            raise PayloadInvalid(
                "id: it is not what the header Idempotency-Key says: leave one of them out",
                field="id",
            )
        options = self.options or Options()
        return Asked(
            name=self.name,
            payload=self.payload,
            id=self.id if idempotency_key is None else idempotency_key,
            key=self.key,
            queue=self.queue,
            options=JobOptions(
                delay=self.delay,
                run_at=self.run_at,
                attempts=options.attempts,
                timeout=options.timeout,
                expires=options.expires,
                backoff=None if options.backoff is None else options.backoff.made(),
            ),
        )


class NewJobs(Body):
    """Jobs to enqueue together."""

    jobs: list[NewJob] = Field(min_length=1, max_length=BATCH_MAX)


class Reasoned(Body):
    """Why something is done; it is kept with the job, and in the record of actions."""

    reason: Reason = ""


def given_reason(body: Reasoned | None = None) -> str:
    """The reason that a request gives, or none."""
    return "" if body is None else body.reason


GivenReason = Annotated[str, Depends(given_reason)]


class Rescheduled(Body):
    """When a job is to start: `delay` from now, or `run_at`."""

    delay: Duration | None = None
    run_at: AwareDatetime | None = None
    reason: Reason = ""


def read_idempotency_key(given: str | None) -> str | None:
    """The id that the header says, with or without quotes around it.

    Raises:
        PayloadInvalid: it is empty, too long, or no text.
    """
    if given is None:
        return None
    try:
        text = given.encode("latin-1").decode().strip()
    except ValueError:
        raise PayloadInvalid(
            "Idempotency-Key: write it in UTF-8", field="Idempotency-Key"
        ) from None
    if len(text) >= 2 and text[0] == text[-1] == '"':
        text = text[1:-1]
    if not 0 < len(text) <= TEXT_MAX:
        raise PayloadInvalid(
            f"Idempotency-Key: give 1 to {TEXT_MAX} characters", field="Idempotency-Key"
        )
    return text
