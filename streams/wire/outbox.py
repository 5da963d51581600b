"""What is sent at the same moment travels together: a whole batch costs a tenth of single sends."""

from __future__ import annotations

import asyncio
import heapq
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from itertools import count
from typing import Any, Final

from aiokafka import AIOKafkaProducer
from aiokafka.errors import ProducerClosed

from streams.wire.producer import Headers

Place = tuple[str, int]  # topic, partition

SPARE: Final = 1_000


class Sending:
    """The records of one caller: `over` once all are acknowledged, or with the first refusal.

    Who does not wait any longer says so with `give_up`: what is still here then is not sent.
    """

    __slots__ = ("_acknowledged", "_left", "over", "refused")

    def __init__(self, count: int) -> None:
        self.over: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.refused: int | None = None  # the first record of the batch that was refused
        self._acknowledged = bytearray(count)
        self._left = count

    @property
    def first_open(self) -> int:
        """The first record that is not acknowledged."""
        return max(0, self._acknowledged.find(0))

    def give_up(self) -> None:
        """Nobody waits for it any more."""
        if not self.over.cancel() and not self.over.cancelled():
            self.over.exception()  # seen, also if nobody waited

    def _acknowledge(self, index: int) -> None:
        self._acknowledged[index] = 1
        self._left -= 1
        if not self._left and not self.over.done():
            self.over.set_result(None)

    def _refuse(self, index: int, error: BaseException) -> None:
        if not self.over.done():
            self.refused = index
            self.over.set_exception(error)


@dataclass(slots=True)
class _Waiting:
    sending: Sending
    index: int
    key: bytes
    value: bytes
    headers: Headers


class Outbox:
    """Sends for many callers; those of one partition in the order in which they asked.

    While a batch of a partition waits for the one before it, the next one gathers.
    """

    def __init__(self, producer: Callable[[], Awaitable[AIOKafkaProducer]]) -> None:
        self._producer = producer
        self._waiting: dict[Place, deque[_Waiting]] = {}
        self._flushing: set[asyncio.Task[None]] = set()
        self._bounded: list[tuple[float, int, Sending]] = []  # a heap by time
        self._numbers = count()
        self._sweep_at = SPARE  # bounded ones, most of which are over by then
        self._alarm: asyncio.TimerHandle | None = None

    def bound(self, sending: Sending, until: float) -> None:
        """Refuse it with `TimeoutError` if it is not over at `until`, by the loop's time.

        All of them share one alarm, which is cheaper than `asyncio.timeout` around each.
        """
        if len(self._bounded) >= self._sweep_at:
            self._bounded = [each for each in self._bounded if not each[2].over.done()]
            heapq.heapify(self._bounded)
            self._sweep_at = SPARE + 2 * len(self._bounded)
        heapq.heappush(self._bounded, (until, next(self._numbers), sending))
        if self._alarm is None or until < self._alarm.when():
            self._set_alarm(until)

    def _set_alarm(self, when: float) -> None:
        if self._alarm is not None:
            self._alarm.cancel()
        self._alarm = asyncio.get_running_loop().call_at(when, self._look)

    def _look(self) -> None:
        self._alarm = None
        now = asyncio.get_running_loop().time()
        while self._bounded and (self._bounded[0][0] <= now or self._bounded[0][2].over.done()):
            sending = heapq.heappop(self._bounded)[2]
            sending._refuse(sending.first_open, TimeoutError())
        if self._bounded:
            self._set_alarm(self._bounded[0][0])

    def put(
        self, place: Place, sending: Sending, index: int, key: bytes, value: bytes, headers: Headers
    ) -> None:
        """Take the record of a caller that is its number `index`."""
        waiting = self._waiting.get(place)
        if waiting is None:
            waiting = self._waiting[place] = deque()
            task = asyncio.create_task(self._flush(place, waiting))
            self._flushing.add(task)
            task.add_done_callback(self._flushing.discard)
        waiting.append(_Waiting(sending, index, key, value, headers))

    async def flush(self) -> None:
        """Return once nothing waits here; it is with the producer then."""
        while self._flushing:
            await asyncio.wait(self._flushing)

    async def _flush(self, place: Place, waiting: deque[_Waiting]) -> None:
        taken: list[_Waiting] = []
        try:
            while waiting:
                producer = await self._producer()
                batch = producer.create_batch()
                taken = _fill(batch, waiting)
                if taken:
                    answer = await producer.send_batch(batch, place[0], partition=place[1])
                    answer.add_done_callback(_Answer(taken))
                    taken = []
        except Exception as error:
            for each in (*taken, *waiting):
                each.sending._refuse(each.index, error)
            waiting.clear()
        finally:
            del self._waiting[place]


def _fill(batch: Any, waiting: deque[_Waiting]) -> list[_Waiting]:
    """Move what fits from the line into a batch, and leave out what nobody waits for."""
    taken: list[_Waiting] = []
    while waiting:
        first = waiting[0]
        if not first.sending.over.done():
            added = batch.append(
                timestamp=None, key=first.key, value=first.value, headers=first.headers
            )
            if added is None:  # it is full
                break
            taken.append(first)
        waiting.popleft()
    return taken


class _Answer:
    """Tells the callers of a batch what the broker said of it."""

    def __init__(self, taken: Sequence[_Waiting]) -> None:
        self._taken = taken

    def __call__(self, answer: asyncio.Future[Any]) -> None:
        error = ProducerClosed() if answer.cancelled() else answer.exception()
        for each in self._taken:
            if error is None:
                each.sending._acknowledge(each.index)
            else:
                each.sending._refuse(each.index, error)
