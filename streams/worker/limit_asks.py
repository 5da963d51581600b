"""Asks for what limits of the cluster have: in a log that all workers share, which answers."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

from streams.errors import AppendFailed
from streams.values import immutable
from streams.worker.control import Control
from streams.worker.limit_log import LimitLog
from streams.worker.ports import Append, Clock, Log
from streams.worker.rate_windows import Ask, use_ms
from streams.worker.slot_shares import SlotAsk

logger = logging.getLogger(__name__)

AGAIN_MS: Final = 500  # after an ask of which nobody knows what it got
SNAPSHOT_EVERY: Final = 10_000  # asks


@immutable(frozen=True, slots=True, kw_only=True)
class Answer:
    """What an ask got; times are those of `Clock.elapsed`."""

    count: int
    use_by: int  # what it got is its own until then; a later start exceeds the limit
    next_at: int  # when it is worth asking again
    allowed: int | None = None  # of slots: how many may be kept, since others wait
    has_failed: bool = False  # nobody knows what it got: it counts as nothing


@dataclass(frozen=True, slots=True)
class _Asked:
    name: str
    ask: Ask | SlotAsk
    answered: Callable[[Answer], None]


class LimitAsks:
    """One request at a time is under way; what is asked meanwhile goes together."""

    def __init__(
        self,
        log: Log,
        topic: str,
        clock: Clock,
        control: Control,
        on_failure: Callable[[BaseException], None],
    ) -> None:
        self._log = log
        self._topic = topic
        self._clock = clock
        self._control = control
        self._on_failure = on_failure
        self._known: LimitLog | None = None
        self._asked: list[_Asked] = []
        self._task: asyncio.Task[None] | None = None
        self._is_failing = False
        self._snapshot_due = 0  # at which position of the log of asks
        self._answered_in = 0.0  # ms, the slowest lately

    def ask(self, name: str, ask: Ask | SlotAsk, answered: Callable[[Answer], None]) -> None:
        """Ask for starts or slots; `answered` is called once, on the loop, unless this stops."""
        self._asked.append(_Asked(name, ask, answered))
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._run(), name="limit asks")

    @property
    def is_asking(self) -> bool:
        """Whether an answer is to come."""
        return self._task is not None and not self._task.done()

    async def stop(self) -> None:
        """Ask nothing more."""
        self._asked = []
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _run(self) -> None:
        try:
            while self._asked:
                asked, self._asked = self._asked, []
                for each, answer in zip(asked, await self._answers(asked), strict=True):
                    each.answered(answer)
                await self._keep_snapshot()
        except Exception as error:
            logger.exception("asking for what limits have failed")
            self._on_failure(error)

    async def _answers(self, asked: list[_Asked]) -> list[Answer]:
        sent = self._clock.elapsed()  # before the broker can have taken it
        asks = [self._timed(each.ask) for each in asked]
        try:
            known = self._known or await self._begin()
            records = [
                Append(self._topic, 0, each.name.encode(), ask.encode())
                for each, ask in zip(asked, asks, strict=True)
            ]
            offsets = await self._log.append(records)
            given, taken_at = await self._read(known, set(offsets))
            self._is_failing = False
        except (AppendFailed, OSError) as error:
            if not self._is_failing:
                logger.warning("asking for what limits have failed: %s; trying again", error)
            self._is_failing = True
            again = self._clock.elapsed() + AGAIN_MS
            return [Answer(count=0, use_by=0, next_at=again, has_failed=True)] * len(asked)
        back = self._clock.elapsed()
        self._answered_in = max(back - sent, 0.9 * self._answered_in)
        answers = []
        for each, ask, offset in zip(asked, asks, offsets, strict=True):
            if isinstance(ask, SlotAsk):
                answer = Answer(
                    count=given[offset],
                    use_by=sent + ask.lease_ms,
                    next_at=back,
                    allowed=known.allowed(each.name, ask.by),
                )
            else:
                # The broker took it between `sent` and `back`.
                free_at = known.free_at(each.name, ask.most) - taken_at[offset]
                answer = Answer(
                    count=given[offset],
                    use_by=sent + ask.use_ms,
                    next_at=back if free_at <= 0 else (sent + back) // 2 + free_at + 1,
                )
            answers.append(answer)
        return answers

    def _timed(self, ask: Ask | SlotAsk) -> Ask | SlotAsk:
        if isinstance(ask, SlotAsk):
            return ask
        return replace(ask, use_ms=use_ms(ask.per_ms, int(self._answered_in)))

    async def _begin(self) -> LimitLog:
        """What was given so far: from the last snapshot on."""
        await self._control.refresh()
        known = LimitLog.decode(self._control.snapshot_of_limits())
        if known.position > await self._log.end(self._topic, 0):
            known, self._snapshot_due = LimitLog(), 0  # the topic was made anew
        await self._read(known, set())
        self._known = known
        return known

    async def _read(self, known: LimitLog, own: set[int]) -> tuple[dict[int, int], dict[int, int]]:
        """Read to the end; what each of these got, and when the broker took it."""
        given: dict[int, int] = {}
        taken_at: dict[int, int] = {}
        async for records in self._log.read(self._topic, 0, known.position):
            for record in records:
                name = (record.key or b"").decode(errors="replace")
                count = known.take(name, record.value, record.offset, record.timestamp)
                if record.offset in own:
                    given[record.offset] = count
                    taken_at[record.offset] = record.timestamp
        if own - given.keys():
            self._known = None  # if the topic was made anew, what is known is of the old one
            raise OSError("the end of the log of asks is behind what was written to it")
        return given, taken_at

    async def _keep_snapshot(self) -> None:
        """So that who comes later has no more to read than is behind it."""
        if self._known is None:
            return
        if self._known.position < self._snapshot_due:
            return
        kept = LimitLog.decode(self._control.snapshot_of_limits()).position  # another worker's, say
        if kept > self._known.position:
            kept = -SNAPSHOT_EVERY  # of a topic that is gone: this one must not grow up to there
        self._snapshot_due = kept + SNAPSHOT_EVERY
        if self._known.position < self._snapshot_due:
            return
        try:
            await self._control.keep_snapshot_of_limits(self._known.encode())
        except (AppendFailed, OSError) as error:
            logger.warning("keeping a snapshot of limits failed: %s", error)
