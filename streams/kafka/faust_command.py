"""Faust's command `worker` as we start it: it says what is so, and leaves standard output alone."""

from __future__ import annotations

import logging
import os
import sys
from importlib.metadata import PackageNotFoundError, version
from io import TextIOWrapper
from typing import TYPE_CHECKING, Any

from faust.cli.worker import worker as faust_worker

from streams.settings import unknown_variables

if TYPE_CHECKING:
    from streams.kafka.worker import JobsApp

logger = logging.getLogger(__name__)


class worker(faust_worker):  # a command of this name takes its place
    """Start a worker."""

    # Faust's command line ignores the app's setting; what handlers print would be torn into lines
    # of the log, a word each.
    redirect_stdouts = False

    def on_worker_created(self, worker: Any) -> None:
        """Introduce the worker; Faust's banner tells of a web server and a store that we lack."""
        for variable, meant in unknown_variables(os.environ):
            hint = f": did you mean {meant}?" if meant else ""
            logger.warning("%s is not a setting%s", variable, hint)
        if not self.quiet:
            introduce(self.app)
        worker.quiet = True  # nor its progress, between the lines of our log
        worker.spinner = None
        # What handlers print is to be seen when it is printed, also where nobody looks at once.
        if isinstance(sys.stdout, TextIOWrapper):
            sys.stdout.reconfigure(line_buffering=True)


def introduce(app: JobsApp) -> None:
    """Say what this worker is: in the log if programs read it, else as a few lines."""
    settings = app.streams_settings
    web = (
        f"http://{settings.web_host}:{settings.web_port}" if settings.web_port else "any free port"
    )
    about = {
        "version": _version(),
        "broker": settings.bootstrap_servers,
        "group": app.conf.id,
        "queues": ", ".join(app.registry.queues()),
        "handlers": ", ".join(sorted(d.name for d in app.registry.definitions())) or "none",
        "metrics": f"{web}/metrics" if settings.web_port else web,
    }
    if settings.log_format == "json":
        logger.info("worker: %s", "; ".join(f"{name} {value}" for name, value in about.items()))
        return
    print(f"jobstreams {about.pop('version')}, worker {app.worker_name}", file=sys.stderr)
    for name, value in about.items():
        print(f"  {name:<10}{value}", file=sys.stderr)
    sys.stderr.flush()


def _version() -> str:
    try:
        return version("jobstreams")
    except PackageNotFoundError:  # run from its folder
        return "(not installed)"
