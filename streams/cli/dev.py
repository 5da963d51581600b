"""`streams dev`: a broker and a worker on this machine, until Ctrl-C."""

from __future__ import annotations

import os
import signal
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import typer

from streams.cli import exits


def dev() -> None:
    """Run a broker (unless KAFKA_BOOTSTRAP_SERVERS is set) and a worker; Ctrl-C ends both."""
    from streams.dev.broker import LocalBroker
    from streams.dev.children import end
    from streams.dev.worker import start_worker
    from streams.settings import Settings

    settings = Settings()
    for name in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(name, _interrupt)
    with ExitStack() as running:
        # Entered first, left last: a second Ctrl-C would leave a broker that is being stopped.
        bootstrap = os.environ.get("KAFKA_BOOTSTRAP_SERVERS", "")
        try:
            if not bootstrap:
                broker = LocalBroker(Path(settings.data_dir) / "broker")
                running.callback(broker.stop)
                bootstrap = broker.start()
            worker = start_worker({"KAFKA_BOOTSTRAP_SERVERS": bootstrap})
            running.callback(end, worker, 30.0)
            print(f"broker   {bootstrap}\nworker   process {worker.pid}", file=sys.stderr)
            if settings.web_port:
                web = f"http://{settings.web_host}:{settings.web_port}"
                print(f"metrics  {web}/metrics\nhealth   {web}/health", file=sys.stderr)
            print("Ctrl-C ends both", file=sys.stderr)
            code = worker.wait()
        except KeyboardInterrupt:
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            print("\nstopping", file=sys.stderr)
            return
    print(f"streams: the worker ended by itself, with exit code {code}", file=sys.stderr)
    raise typer.Exit(exits.NEGATIVE if code != exits.USAGE else code)


def _interrupt(*_: Any) -> None:
    raise KeyboardInterrupt
