"""Every error of the engine.

StreamsError
├── SettingsError        a setting is missing or makes no sense
├── RegistrationError    handlers contradict each other or their contracts
├── ScheduleInvalid      a schedule makes no sense, or does not fit the handlers
├── HandlerImportError   a module with handlers can't be imported
├── BrokerUnavailable    Kafka did not answer in time; the outcome is unknown
├── PayloadInvalid       a payload does not fit its contract
├── PayloadTooLarge      a payload is over the limit
├── TopicMismatch        a topic is not as the engine needs it
├── AppendFailed         the log did not take records; a part of them may be written
│   └── LeaseLost        this worker may not write: its partitions may be another's by now
├── ProcessDied          a worker process ended while it ran a job
├── ResourceFailed       something that handlers need could not be opened
├── UndecodableRecord    bytes on a topic are not what should be there
├── ObjectsUnavailable   object storage can't be opened, or is not known here
├── JobFailed            a job ended, but not with a result
└── ResultTimeout        a job was not over in time

Raised by handlers, to say what becomes of the job:
PermanentError, RetryAfter, Snooze, Discard; of a batch: ItemsFailed
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta


class StreamsError(Exception):
    """Base of all errors of the engine."""


class SettingsError(StreamsError):
    """A setting is missing or makes no sense."""


class RegistrationError(StreamsError):
    """Handlers contradict each other or their contracts; the message lists every mistake."""


class ScheduleInvalid(StreamsError):
    """A schedule makes no sense, or does not fit the handlers; of a pattern it says where."""


class HandlerImportError(StreamsError):
    """A module with handlers can't be imported; the message has its own trace."""


class BrokerUnavailable(StreamsError):
    """Kafka did not answer in time: what was sent may or may not have arrived."""

    def __init__(self, message: str, *, job_id: str | None = None) -> None:
        super().__init__(message)
        self.job_id = job_id


class PayloadInvalid(StreamsError):
    """A payload does not fit its contract."""

    def __init__(self, message: str, *, field: str) -> None:
        super().__init__(message)
        self.field = field


class PayloadTooLarge(StreamsError):
    """A payload is over the limit; sizes in bytes."""

    def __init__(self, message: str, *, size: int = 0, limit: int = 0) -> None:
        super().__init__(message)
        self.size = size
        self.limit = limit


class TopicMismatch(StreamsError):
    """A topic exists and is not as the engine needs it."""


class AppendFailed(StreamsError):
    """The log did not take records, or did not say so; any prefix may be written. Try again."""


class LeaseLost(AppendFailed):
    """This worker may not write now: its session is not certain to go on."""


class ProcessDied(StreamsError):
    """A worker process ended while it ran a job; the message says by what."""


class ResourceFailed(StreamsError):
    """Something that handlers need could not be opened; the worker does not start."""


class UndecodableRecord(StreamsError):
    """Bytes on a topic are not what should be there."""


class JobFailed(StreamsError):
    """A job ended, but not with a result; `state` says how."""

    def __init__(self, message: str, *, state: str = "dead") -> None:
        super().__init__(message)
        self.state = state


class ObjectsUnavailable(StreamsError):
    """Object storage can't be opened, or nobody said where it is."""


class ResultTimeout(StreamsError):
    """A job was not over in time; it goes on."""


class PermanentError(Exception):
    """Raised by a handler: trying again is of no use."""


class RetryAfter(Exception):
    """Raised by a handler: try again after this time, as one of the attempts."""

    def __init__(self, after: str | timedelta, message: str = "") -> None:
        super().__init__(message or f"retry after {after}")
        self.after = after


class Snooze(Exception):
    """Raised by a handler: run again after this time; it uses up no attempt."""

    def __init__(self, for_: str | timedelta, *, blocks_key: bool = False) -> None:
        super().__init__(f"snooze for {for_}")
        self.for_ = for_
        self.blocks_key = blocks_key


class Discard(Exception):
    """Raised by a handler: end the job without a dead letter."""

    def __init__(self, reason: str = "") -> None:
        super().__init__(reason)
        self.reason = reason


class ItemsFailed(Exception):
    """Raised by a handler of batches: these of its jobs failed, the others completed.

    `errors`: by the place of the payload in the list, from 0, what the job's own handler would
    have raised: `PermanentError`, `RetryAfter`, `Snooze`, `Discard`, or any other.
    """

    def __init__(self, errors: Mapping[int, BaseException]) -> None:
        super().__init__(f"{len(errors)} jobs of the batch failed")
        self.errors = dict(errors)
