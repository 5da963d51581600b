"""What a handler says of its job while it runs, and what is kept of it: see docs/long-jobs.md."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from numbers import Integral, Real
from typing import Any, Final, Protocol

from streams.values import immutable

CHECKPOINT_MAX: Final = 64 * 1024  # bytes of JSON
LINES_KEPT: Final = 50  # the last ones of a job
LINE_MAX: Final = 500  # characters


@immutable(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far a job is; without a `total` nobody knows what share that is."""

    processed: int | float
    total: int | float | None = None

    @property
    def percentage(self) -> float | None:
        """The share that is done, from 0 to 100."""
        if self.total is None:
            return None
        if not self.total:
            return 100.0
        return min(100.0, round(100 * self.processed / self.total, 1))

    def plain(self) -> dict[str, int | float | None]:
        """As it is shown: `processed`, `total`, `percentage`."""
        return {
            "processed": self.processed,
            "total": self.total,
            "percentage": self.percentage,
        }


def progress_of(processed: Any, total: Any) -> Progress:
    """A progress, checked.

    Raises:
        TypeError, ValueError: `processed` or `total`, as the message says, is no number from 0 on.
    """
    return Progress(
        processed=_number("processed", processed),
        total=None if total is None else _number("total", total),
    )


def _number(field_: str, value: Any) -> int | float:
    if isinstance(value, bool) or not isinstance(value, Real):
        raise TypeError(f"progress: {field_} is a number, not {value!r:.80}")
    plain = int(value) if isinstance(value, Integral) else float(value)
    if not 0 <= plain < 2**63:
        raise ValueError(f"progress: {field_} is a number from 0 on, not {value}")
    return plain


@immutable(frozen=True, slots=True, kw_only=True)
class LogLine:
    """One line that a handler logged through `ctx.log`."""

    at: int  # milliseconds since the epoch
    attempt: int
    level: str  # as `logging` names it: INFO, ...
    text: str


@immutable(frozen=True, slots=True, kw_only=True)
class Notes:
    """What is kept with a job of what its handler said."""

    checkpoint: str | None = None  # JSON; only while the job is open
    progress: Progress | None = None
    log: tuple[LogLine, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.checkpoint is not None or self.progress or self.log)


class Says(Protocol):
    """Where a context puts what its handler says. Any thread may call what is no coroutine."""

    @property
    def checkpointed(self) -> str | None:
        """The last checkpoint of the job, as JSON."""
        ...

    def progress(self, progress: Progress) -> None:
        """How far it is."""
        ...

    def line(self, line: LogLine) -> None:
        """A line of its log."""
        ...

    async def checkpoint(self, value: str) -> None:
        """Keep where it could go on; durable on return.

        Raises:
            asyncio.CancelledError: the attempt is over.
        """
        ...


@dataclass(slots=True)
class Notebook:
    """What was said of one job so far. By itself it is what a context made by hand writes in."""

    checkpointed: str | None = None
    latest: Progress | None = None
    lines: deque[LogLine] = field(default_factory=lambda: deque(maxlen=LINES_KEPT))
    untold: bool = False  # listeners do not know the latest progress
    unwritten: bool = False  # state does not know all of it
    told_at: int = 0
    written_at: int = 0

    def progress(self, progress: Progress) -> None:
        """See `Says.progress`."""
        self.latest = progress

    def line(self, line: LogLine) -> None:
        """See `Says.line`."""
        self.lines.append(line)

    async def checkpoint(self, value: str) -> None:
        """See `Says.checkpoint`; here it is kept in memory."""
        self.checkpointed = value

    def kept(self) -> Notes | None:
        """All of it, as it is now."""
        notes = Notes(
            checkpoint=self.checkpointed, progress=self.latest, log=tuple(self.lines.copy())
        )
        return notes if notes else None


def reopened(notes: Notes | None) -> Notebook | None:
    """A notebook that goes on from what was kept."""
    if notes is None:
        return None
    return Notebook(notes.checkpoint, notes.progress, deque(notes.log, maxlen=LINES_KEPT))


def without_checkpoint(notes: Notes | None) -> Notes | None:
    """What is kept of a job that is over: nothing goes on from its checkpoint."""
    if notes is None or not (notes.progress or notes.log):
        return None
    return Notes(progress=notes.progress, log=notes.log)
