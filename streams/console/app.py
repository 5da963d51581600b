"""The app: the interface for services and the pages for people, in one."""

from __future__ import annotations

from fastapi import FastAPI
from prometheus_client import CollectorRegistry
from starlette.staticfiles import StaticFiles

from streams.console import problems
from streams.console.access import sign_in
from streams.console.access.bodies import Bodies
from streams.console.access.calls import CallMetrics, Calls
from streams.console.access.ended import EndedSessions
from streams.console.access.gate import Gate, Rules
from streams.console.access.headers import Headers
from streams.console.access.sessions import Sessions, session_key
from streams.console.access.throttle import Throttle
from streams.console.access.tokens import read_tokens
from streams.console.api import (
    actions,
    cron,
    dead_letters,
    document,
    enqueue,
    events,
    health,
    job,
    jobs,
    metrics,
    queues,
    schedules,
    workers,
)
from streams.console.console import Console
from streams.console.pages import dashboard
from streams.console.pages.render import STATIC, problem_page
from streams.console.paths import NamesInPaths
from streams.durations import to_ms
from streams.replay.actions_log import operator
from streams.settings import Settings
from streams.version import VERSION

_PARTS = (
    *(enqueue, jobs, job, queues, dead_letters, actions, events, schedules, workers),
    *(cron, health, metrics, sign_in),
)


def rules_of(settings: Settings) -> Rules:
    """Who may do what.

    Raises:
        SettingsError: a token is none, or the key of sessions can't be kept.
    """
    tokens = read_tokens(settings)
    lasts_s = to_ms(settings.console_session) // 1000
    return Rules(
        tokens=tokens,
        sessions=Sessions(
            session_key(settings.data_dir), tokens, lasts_s, EndedSessions(settings.data_dir)
        ),
        hosts=frozenset(host.lower() for host in settings.console_hosts),
        operator=operator(),
        is_behind_proxy=settings.console_behind_proxy,
    )


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
    app.state.rules = rules_of(console.settings)
    app.state.throttle = Throttle()
    app.state.metrics = CollectorRegistry()
    problems.install(app, problem_page)
    document.install(app)
    # The last one is the outermost.
    app.add_middleware(Gate, rules=app.state.rules)
    app.add_middleware(Bodies)
    app.add_middleware(NamesInPaths)
    app.add_middleware(Headers)
    app.add_middleware(Calls, metrics=CallMetrics(app.state.metrics))
    for part in _PARTS:
        app.include_router(part.router)
    app.mount("/static", StaticFiles(directory=STATIC))
    app.include_router(dashboard())
    return app
