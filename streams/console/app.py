"""The app: the interface for services and the pages for people, in one."""

from __future__ import annotations

from fastapi import FastAPI
from starlette.staticfiles import StaticFiles

from streams.console import problems
from streams.console.api import enqueue, health, job, jobs, queues
from streams.console.console import Console
from streams.console.pages import dashboard
from streams.console.pages.render import STATIC
from streams.console.paths import NamesInPaths
from streams.version import VERSION


def make_app(console: Console) -> FastAPI:
    """The app of a console that was entered."""
    app = FastAPI(
        title="Streams",
        version=VERSION,
        description="Background jobs on Kafka: enqueue them, see what became of them, act on them.",
        docs_url=None,  # pages of theirs would ask others for scripts
        redoc_url=None,
        redirect_slashes=False,
    )
    app.state.console = console
    app.add_middleware(NamesInPaths)
    problems.install(app)
    for part in (enqueue, jobs, job, queues, health):
        app.include_router(part.router)
    app.mount("/static", StaticFiles(directory=STATIC))
    app.include_router(dashboard())
    return app
