"""A batch: many child jobs, and a callback job that waits until all of them are over. Pure."""

from __future__ import annotations

from base64 import b64decode, b64encode
from collections.abc import Iterable
from dataclasses import replace
from enum import Enum
from typing import Any, Final, Literal

import orjson

from streams.jobs.identity import JobKey
from streams.jobs.states import OVER, State
from streams.values import immutable

CHILDREN_MAX: Final = 1_000_000  # of one batch: its tally is written into one record

When = Literal["over", "completed"]
WHENS: Final[tuple[When, ...]] = ("over", "completed")
# A child in one of these never completes; a dead one may, once it is replayed.
_GIVEN_UP: Final = frozenset({State.CANCELLED, State.DISCARDED, State.EXPIRED})
_REPORTED: Final = OVER | {State.DEAD}


@immutable(frozen=True, slots=True, kw_only=True)
class ChildOf:
    """Whom a child tells that it is over: a callback, and which of its children it is."""

    queue: str  # of the callback
    callback: JobKey
    index: int

    def encode(self) -> str:
        """As a header."""
        key = self.callback
        told = [self.queue, key.name, key.ordering_key, key.id, self.index]
        return orjson.dumps(told).decode()


def read_child_of(text: str | bytes) -> ChildOf:
    """What `ChildOf.encode` wrote.

    Raises:
        ValueError: it is something else.
    """
    told = orjson.loads(text)
    match told:
        case [str(queue), str(name), str() | None as key, str(id_), int(index)] if (
            0 <= index < CHILDREN_MAX and queue and name and id_
        ):
            job = JobKey(name=name, ordering_key=key, id=id_)
            return ChildOf(queue=queue, callback=job, index=index)
    raise ValueError(f"not a place in a batch: {str(text)[:80]!r}")


@immutable(frozen=True, slots=True, kw_only=True)
class Awaits:
    """What a callback waits for: so many children, to be over or to be completed."""

    size: int
    when: When = "over"

    def encode(self) -> str:
        """As a header."""
        return f"{self.size} {self.when}"


def read_awaits(text: str) -> Awaits:
    """What `Awaits.encode` wrote.

    Raises:
        ValueError: it is something else.
    """
    size, _, word = text.partition(" ")
    for when in WHENS:
        if word == when and size.isdigit() and 0 < int(size) <= CHILDREN_MAX:
            return Awaits(size=int(size), when=when)
    raise ValueError(f"not what a batch waits for: {text[:80]!r}")


def check_batch(call: str, size: int, when: str) -> None:
    """Nothing, if there can be such a batch.

    Raises:
        ValueError: there are too many children, or `when` is neither of the two.
    """
    if when not in WHENS:
        raise ValueError(f"{call}(when={when!r}): it is one of {', '.join(WHENS)}")
    if size > CHILDREN_MAX:
        raise ValueError(
            f"{call}: {size} jobs, the limit is {CHILDREN_MAX}: let some of them enqueue batches "
            "of their own"
        )


class Verdict(Enum):
    """What becomes of a callback."""

    WAITS = "waits"
    RUNS = "runs"
    NEVER = "never"  # a child that was to complete never will


@immutable(frozen=True, slots=True, kw_only=True)
class BatchCounts:
    """How many children a batch has, and how they are; what a callback sees as `ctx.batch`."""

    size: int
    completed: int
    failed: int  # dead, discarded, cancelled or expired

    @property
    def waiting(self) -> int:
        """How many are not over."""
        return self.size - self.completed - self.failed


@immutable(frozen=True, slots=True, kw_only=True)
class Tally:
    """Which children of a batch have reported; a bit for each child, so that no report counts
    twice. A later report of a child replaces an earlier one: a dead child may be replayed.
    """

    size: int
    when: When = "over"
    over: int = 0
    completed: int = 0
    given_up: int = 0

    def with_reports(self, reports: Iterable[tuple[int, State]]) -> Tally:
        """With what children report, the later after the earlier; what makes no sense is nothing.

        Its time is that of the reports and of the size, not of their product.
        """
        said = {i: state for i, state in reports if 0 <= i < self.size and state in _REPORTED}
        if not said:
            return self
        new, completed, given_up = (
            _mask(i for i, state in said.items() if state in which)
            for which in (_REPORTED, (State.COMPLETED,), _GIVEN_UP)
        )
        return replace(
            self,
            over=self.over | new,
            completed=self.completed & ~new | completed,
            given_up=self.given_up & ~new | given_up,
        )

    def counts(self) -> BatchCounts:
        """How the children are."""
        completed = self.completed.bit_count()
        return BatchCounts(
            size=self.size, completed=completed, failed=self.over.bit_count() - completed
        )

    def verdict(self) -> Verdict:
        """Whether the callback runs now."""
        if self.when == "over":
            return Verdict.RUNS if self.over.bit_count() == self.size else Verdict.WAITS
        if self.given_up:
            return Verdict.NEVER
        return Verdict.RUNS if self.completed.bit_count() == self.size else Verdict.WAITS

    def told(self) -> str:
        """What it waits for, for people."""
        counts = self.counts()
        done = counts.completed if self.when == "completed" else counts.size - counts.waiting
        failed = f", {counts.failed} of them not completed" if counts.failed else ""
        if self.when == "completed":
            failed = f"; {counts.failed} failed, and can be replayed" if counts.failed else ""
            return f"waits until all of its {self.size} jobs are completed: {done} are{failed}"
        return f"waits until all of its {self.size} jobs are over: {done} are{failed}"

    def plain(self) -> list[Any]:
        """As JSON takes it."""
        return [
            self.size,
            self.when,
            *(_bits(bits) for bits in (self.over, self.completed, self.given_up)),
        ]


def _mask(indexes: Iterable[int]) -> int:
    bits = bytearray()
    for index in indexes:
        at = index >> 3
        if at >= len(bits):
            bits.extend(bytes(at + 1 - len(bits)))
        bits[at] |= 1 << (index & 7)
    return int.from_bytes(bits, "little")


def read_tally(told: list[Any]) -> Tally:
    """What `Tally.plain` told."""
    size, when, over, completed, given_up = told
    return Tally(
        size=size,
        when=when,
        over=_read_bits(over),
        completed=_read_bits(completed),
        given_up=_read_bits(given_up),
    )


def _bits(bits: int) -> str:
    return b64encode(bits.to_bytes((bits.bit_length() + 7) // 8, "little")).decode()


def _read_bits(text: str) -> int:
    return int.from_bytes(b64decode(text), "little")
