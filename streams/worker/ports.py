"""The five ports of the pipeline (Log, Source, Store, Clock, Executor), and the executor's own."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple, Protocol

from streams.values import immutable
from streams.wire.envelope import Record

if TYPE_CHECKING:
    import asyncio

    from streams.jobs.context import JobContext
    from streams.jobs.definition import JobDefinition
    from streams.jobs.outcome import Outcome
    from streams.worker.attempt import Attempt


@immutable(frozen=True, slots=True)
class Append:
    """One record to write. `partition` None: chosen from the key as everywhere else."""

    topic: str
    partition: int | None
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes | None]] = ()


class Log(Protocol):
    """The durable log. What reads of it raises an OSError if it can't be reached: try again."""

    async def append(self, records: Sequence[Append]) -> Sequence[int]:
        """Write records; return their offsets once all of them are durable.

        Records for one partition keep their order.

        Raises:
            AppendFailed: any prefix for each partition may have been written; try again.
        """
        ...

    def read(self, topic: str, partition: int, start: int) -> AsyncIterator[Sequence[Record]]:
        """Records from `start` (or the first one kept) up to the end as it was at the call.

        No batch is empty.
        """
        ...

    async def end(self, topic: str, partition: int) -> int:
        """The offset that the next record of the partition will get."""
        ...

    async def offset_at(self, topic: str, partition: int, time: int) -> int | None:
        """The offset of the first record at or after `time` (ms since the epoch), if any."""
        ...

    async def trim(self, topic: str, partition: int, before: int) -> None:
        """Remove all records below the offset `before`; what is gone already stays gone.

        Raises:
            AppendFailed: it is not done; there are no offsets behind the end to be trimmed.
        """
        ...


class Source(Protocol):
    """Where batches come from, and where the acknowledged prefix is told."""

    def release(self, watermark: int) -> None:
        """Everything below `watermark` is settled or taken over, durably."""
        ...


class Change(NamedTuple):
    """One write of a local store; `value` None removes the key."""

    table: str
    key: bytes
    value: bytes | None


# What `write` takes: changes, or plain tuples of the same, which are made in no time.
Row = tuple[str, bytes, bytes | None]


class Store(Protocol):
    """A partition's local state: named tables of bytes, ordered by key."""

    def get(self, table: str, key: bytes) -> bytes | None:
        """The value, or None."""
        ...

    def scan(self, table: str, start: bytes, stop: bytes | None) -> Iterator[tuple[bytes, bytes]]:
        """Pairs with start <= key < stop, in order of key."""
        ...

    def write(self, changes: Sequence[Row]) -> None:
        """Apply all changes, or none."""
        ...

    def clear(self, table: str) -> None:
        """Remove all of one table, in a time that does not depend on how much that is."""
        ...

    def risk(self) -> None:
        """Write faster: until `keep` a crash may take any part of what is written.

        What was written before is safe when this returns.
        """
        ...

    def keep(self) -> None:
        """Make all that was written safe, and what will be."""
        ...

    def close(self) -> None:
        """Release the store."""
        ...


class Alarm(Protocol):
    """A call that is to come."""

    def cancel(self) -> None:
        """Forget it."""
        ...


class Clock(Protocol):
    """Time, in milliseconds since the epoch."""

    def now(self) -> int:
        """The time."""
        ...

    def elapsed(self) -> int:
        """Milliseconds since some moment, counted evenly: nobody sets it, unlike `now`."""
        ...

    def call_at(self, when: int, callback: Callable[[], None]) -> Alarm:
        """Call once when the clock shows `when` or later, never before."""
        ...


class Hears(Protocol):
    """Whoever is told, on the loop, what the handler of an attempt says."""

    def hear(self, attempt: Attempt) -> None:
        """There is news in its notebook."""
        ...

    def keep_checkpoint(self, attempt: Attempt) -> asyncio.Future[None]:
        """Write its notebook now; the result comes once that is durable."""
        ...


class Holder(Protocol):
    """A partition with jobs in its open table that wait for limits."""

    def let_in(self, limit: str, count: int) -> None:
        """Bring up to so many of those that this limit holds into hand; then say `brought`."""
        ...


class Executor(Protocol):
    """What runs handlers."""

    def submit(
        self,
        attempt: Attempt,
        done: Callable[[Attempt, Outcome], None],
        hears: Hears | None = None,
    ) -> None:
        """Run the attempt as soon as there is a slot; `done` gets its outcome, on the loop.

        `hears` is told meanwhile what its handler says.
        """
        ...

    def joins(self, running: Attempt, follower: Attempt) -> bool:
        """Whether a job would run in the same call as an earlier one of its key, if submitted."""
        ...

    def cancel(self, attempt: Attempt, reason: str) -> None:
        """Interrupt it, or take it from the queue; `done` gets `Cancelled`."""
        ...

    def take_back(self, attempt: Attempt) -> bool:
        """Take an attempt that waits from the queue, and tell nobody; False: it is about to run."""
        ...

    def abandon(self, attempt: Attempt) -> None:
        """Interrupt it and tell nobody: its partition belongs to another worker."""
        ...

    def hold(
        self,
        limit: str,
        holder: Holder,
        definition: JobDefinition | None,
        key: str | None,
        queue: str,
    ) -> None:
        """A partition of this queue has a job in its open table that this limit holds.

        It is asked for it once there is room. Such a job had the outcome `Held`, or waits near.
        """
        ...

    def enter(self, attempt: Attempt, starts: Iterable[int], holder: Holder) -> None:
        """A job of a key with a rate comes into hand; jobs of it `starts`-ed at these times.

        They are in milliseconds since the epoch, of all that is settled.
        """
        ...

    def leave(self, attempt: Attempt) -> None:
        """It is out of hand, and that is settled."""
        ...

    def brought(self, limit: str, holder: Holder, *, has_more: bool) -> None:
        """It has brought what it was asked for, or all that it has."""
        ...

    def withdraw(self, holder: Holder) -> None:
        """The partition is another's: ask it for nothing more."""
        ...


class Processes(Protocol):
    """What runs handlers outside of this process, as the executor knows it."""

    problem: str | None  # what keeps it from running any, and what to do

    def attach(self, add_slots: Callable[[int], None]) -> None:
        """Say who is to be told how many handlers it can run more, or less; at first none."""
        ...

    def start(self) -> None:
        """Make ready."""
        ...

    async def run(self, attempt: Attempt, context: JobContext) -> Outcome:
        """Run a handler, and return its outcome; a cancellation ends it at once.

        Raises:
            ProcessDied: the process ended in the middle of it.
        """
        ...

    async def stop(self) -> None:
        """End all of it."""
        ...
