"""Jobs that the clock enqueues: the contract of their ticks, and what contradicts in them. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from pydantic import create_model

from streams.contracts import Event, JobPayload
from streams.cron.options import schedule_mistakes
from streams.cron.schedule import Cron, Every, Schedule
from streams.cron.tick import Tick
from streams.jobs.single import Unique

_LOSE: Final = ("skip", "cancel_previous")  # of ticks that come together one is left


def tick_contract(
    function: str, module: str, *, name: str, queue: str, cron: Schedule | None
) -> type[Tick]:
    """The contract of one definition's ticks.

    They have a key, the schedule's name, unless several may run at a time.
    """
    is_keyed = isinstance(cron, Cron | Every) and cron.overlap != "allow"
    arguments = {"name": name, "queue": queue, "key": "schedule" if is_keyed else None}
    return create_model(function, __base__=Tick, __module__=module, __cls_kwargs__=arguments)


def unique_of_ticks(cron: Schedule | None, kind: type[Event] | type[JobPayload]) -> Unique | None:
    """What drops a tick that finds the one before it still open."""
    is_dropped = isinstance(cron, Cron | Every) and cron.overlap == "skip"
    return Unique(by="key") if is_dropped and issubclass(kind, Tick) else None


def cron_mistakes(
    cron: Any,
    kind: type[Event] | type[JobPayload],
    *,
    others: Mapping[str, Any],
    ledger: bool = True,
) -> list[str]:
    """What is wrong with a schedule, a line for each mistake."""
    mistakes = [f"cron: {mistake}" for mistake in schedule_mistakes(cron)]
    if not issubclass(kind, Tick):
        mistakes.append(
            "cron=...: its handler takes a Tick, as in `async def report(tick: Tick) -> None`"
        )
    if isinstance(cron, Cron | Every) and cron.missed == "run_all" and cron.overlap in _LOSE:
        mistakes.append(
            f'cron: missed="run_all" and overlap="{cron.overlap}" contradict each other: those '
            "that were missed come at once, and one alone would be left; write "
            'overlap="queue", or "allow"'
        )
    if not ledger:
        mistakes.append(
            "cron needs the ledger, by which a tick that is written twice is one job: leave "
            "ledger=False out"
        )
    mistakes += [
        f"cron and {option} contradict each other: overlap= says what a run does that finds "
        "another one open"
        for option, value in others.items()
        if value is not None
    ]
    return mistakes
