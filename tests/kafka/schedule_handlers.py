"""Jobs of every second, which tell what each tick was for and when it ran."""

from __future__ import annotations

from cron_handlers import tell

from streams import Cron, Every, Tick, job


@job(name="every", cron=Every("1s", overlap="allow"))
async def every(tick: Tick) -> None:
    tell(tick)


@job(name="pattern", cron=Cron("* * * * * *", overlap="queue"))
async def pattern(tick: Tick) -> None:
    tell(tick)
