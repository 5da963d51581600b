"""Many dead letters replayed or discarded in the background, and how far that is."""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Final

from streams.client_request import now_ms
from streams.console.cancelling import Cancellation, cancel_all
from streams.console.console import Console
from streams.console.letters import letter_json
from streams.console.on_record import END_S, on_record
from streams.console.problems import Problem
from streams.errors import StreamsError
from streams.jobs.identity import new_id
from streams.replay.actions import Discarding, Replaying
from streams.replay.dead_topic import open_dead_topic
from streams.replay.letter_filter import LetterFilter
from streams.replay.letters import Letter
from streams.replay.resolving import Resolved, resolve

logger = logging.getLogger(__name__)

_AT_ONCE: Final = 4
_KEPT: Final = 200
_SAMPLE: Final = 5
_SILENT_MS: Final = 30_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """Which letters, and what becomes of them."""

    verb: str  # "replay" or "discard"
    filter: LetterFilter
    reason: str = ""
    rate: float | None = None  # so many a second
    returns_max: int | None = None  # letters that came back more often are left
    dry_run: bool = False
    only: Callable[[Letter], bool] | None = None  # beside the filter
    told: str = ""  # what `only` means, in words

    @property
    def what(self) -> str:
        """As actions are called on record."""
        return f"dlq {self.verb}"

    @property
    def on(self) -> str:
        """The filter in words."""
        return " ".join(filter(None, (self.filter.told(), self.told))) or "--all"


@dataclass(slots=True, kw_only=True)
class Bulk:
    """An order on its way, or done; times in milliseconds since the epoch."""

    id: str
    who: str
    order: Order | Cancellation
    began: int
    ended: int | None = None
    failed: str = ""
    matching: int = 0
    returned: int = 0
    sample: list[dict[str, Any]] = field(default_factory=list)
    result: Resolved = field(default_factory=Resolved)
    task: asyncio.Task[None] | None = None

    async def those_meant(self, letters: AsyncIterator[Letter]) -> AsyncIterator[Letter]:
        """The letters that nothing speaks against."""
        most = self.order.returns_max if isinstance(self.order, Order) else None
        only = self.order.only if isinstance(self.order, Order) else None
        async for letter in letters:
            if only is not None and not only(letter):
                continue
            self.matching += 1
            if most is not None and letter.generation >= most:
                self.returned += 1
                continue
            if len(self.sample) < _SAMPLE:
                self.sample.append(letter_json(letter))  # without its payload
            yield letter


class Bulks:
    """The orders of one console, the latest of them."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._known: OrderedDict[str, Bulk] = OrderedDict()

    def get(self, id: str) -> Bulk | None:
        """The order of this id, if it is one of this console's."""
        return self._known.get(id)

    def start(self, order: Order | Cancellation, who: str) -> Bulk:
        """Begin with an order.

        Raises:
            Problem: too many are on their way.
        """
        running = sum(bulk.ended is None for bulk in self._known.values())
        if running >= _AT_ONCE:
            why = f"{running} such actions are on their way; wait for one of them, or cancel it"
            raise Problem(429, why, headers={"Retry-After": "10"})
        bulk = Bulk(id=new_id(), who=who, order=order, began=now_ms())
        self._known[bulk.id] = bulk
        while len(self._known) > _KEPT:
            oldest = next((id for id, each in self._known.items() if each.ended is not None), None)
            if oldest is None:
                break
            del self._known[oldest]
        bulk.task = asyncio.create_task(self._run(bulk), name=f"bulk {bulk.id}")
        return bulk

    async def cancel(self, bulk: Bulk) -> None:
        """Stop it; what it has asked for is done."""
        if bulk.task is not None:
            bulk.task.cancel()
            await asyncio.wait((bulk.task,))

    async def close(self) -> None:
        """Stop all, and wait until that is on record."""
        tasks = [bulk.task for bulk in self._known.values() if bulk.task and not bulk.task.done()]
        for task in tasks:
            if not task.cancelling():  # else it may be writing that it has ended
                task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=END_S + 1)

    async def _run(self, bulk: Bulk) -> None:
        try:
            order = bulk.order
            if isinstance(order, Cancellation):
                await cancel_all(self._console, bulk, order)
            elif order.dry_run:
                async with _letters(self._console, bulk, order) as letters:
                    async for _ in letters:
                        pass
            else:
                await self._carry_out(bulk, order)
        except asyncio.CancelledError:
            bulk.failed = "interrupted"
        except StreamsError as error:
            bulk.failed = str(error)
        except Exception as error:
            logger.exception("action %s failed", bulk.id)
            bulk.failed = type(error).__name__
        finally:
            bulk.ended = now_ms()

    async def _carry_out(self, bulk: Bulk, order: Order) -> None:
        console = self._console
        names, bootstrap = console.names, console.settings.bootstrap_servers
        action = (
            Replaying(names)
            if order.verb == "replay"
            else Discarding(names, order.reason or f"discarded by {bulk.who}")
        )
        async with (
            on_record(console, bulk.who, order.what, order.on, order.reason, id=bulk.id) as counts,
            _letters(console, bulk, order) as letters,
        ):

            def note(so_far: Resolved) -> None:
                bulk.result = so_far
                counts[f"{order.verb}ed"] = so_far.resolved

            try:
                bulk.result = await resolve(
                    bootstrap,
                    names,
                    letters,
                    action,
                    rate=order.rate,
                    timeout_ms=_SILENT_MS,
                    told=note,
                )
            finally:
                counts["matching"] = bulk.matching


@asynccontextmanager
async def _letters(
    console: Console, bulk: Bulk, order: Order
) -> AsyncIterator[AsyncIterator[Letter]]:
    """The letters that an order means."""
    async with open_dead_topic(console.settings.bootstrap_servers, console.names.dead) as dead:
        yield bulk.those_meant(dead.letters(order.filter.fits))
