"""The composition root: `faust -A streams.app worker` starts a worker, with no further flags."""

from __future__ import annotations

import sys

import uvloop

from streams.durations import to_ms
from streams.errors import StreamsError
from streams.jobs.definition import QueueDefaults
from streams.jobs.discovery import handler_modules, handlers_among, load_named, load_values
from streams.jobs.listening import listeners_among
from streams.jobs.registry import Registry
from streams.kafka.worker import JobsApp
from streams.observe.logs import configure, log_lifecycle
from streams.settings import Settings


def build() -> JobsApp:
    """The app, from settings and the handlers that they name."""
    settings = Settings()
    configure(settings.log_format, settings.log_level.upper())
    values = load_values(handler_modules(settings.handlers))
    registry = Registry.build(
        handlers_among(values),
        settings.queues,
        queue_defaults={
            queue: QueueDefaults(unique_for=settings.unique_for) for queue in settings.queues
        },
        ledger_kept_ms=to_ms(settings.ledger_kept),
        middleware=[load_named(name) for name in settings.middleware],
    )
    return JobsApp(settings, registry, listeners=(log_lifecycle,), heard_by=listeners_among(values))


def _build_or_explain() -> JobsApp:
    # Faust would wrap whatever is raised here into a trace of its own.
    try:
        uvloop.install()
        return build()
    except StreamsError as error:
        print(f"streams: {error}", file=sys.stderr)
        raise SystemExit(2) from None


app = _build_or_explain()
