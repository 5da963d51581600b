"""A handler of a process, in a module that can be imported there."""

from __future__ import annotations

from streams import Event, JobPayload, SyncJobContext, job


class Drawn(Event, type="shop.ordered", key="order"):
    order: int


class Rendered(JobPayload, name="rendered"):
    page: int


@job(name="render", runs_in="process")
def render(drawn: Drawn, ctx: SyncJobContext) -> bool:
    ctx.enqueue(Rendered(page=drawn.order))
    return ctx.shadow
