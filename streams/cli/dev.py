"""`streams dev`: a broker, a worker and the console on this machine, until Ctrl-C."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from streams.cli import exits

if TYPE_CHECKING:
    from streams.dev.broker import LocalBroker
    from streams.jobs.definition import JobDefinition
    from streams.jobs.registry import Registry
    from streams.settings import Settings

_ANSWER_MS = 3_000  # a broker that is there is quicker
_AFTER_GRACE_S = 20.0  # a worker ends by itself before that


def dev() -> None:
    """Run a broker (unless KAFKA_BOOTSTRAP_SERVERS is set), a worker and the console."""
    from streams.dev.lock import only_one
    from streams.settings import Settings

    settings = Settings()
    registry = _checked_handlers(settings)  # before anything starts
    for name in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(name, _interrupt)
    with only_one(Path(settings.data_dir) / "dev.lock", "streams dev"):
        code = _run(settings, registry)
    if code is not None:
        print(f"streams: the worker ended by itself, with exit code {code}", file=sys.stderr)
        raise typer.Exit(exits.NEGATIVE if code != exits.USAGE else code)


def _checked_handlers(settings: Settings) -> Registry:
    from streams.durations import to_ms
    from streams.jobs.definition import QueueDefaults
    from streams.jobs.discovery import handler_modules, load_handlers
    from streams.jobs.registry import Registry

    defaults = QueueDefaults(unique_for=settings.unique_for)
    return Registry.build(
        load_handlers(handler_modules(settings.handlers)),
        settings.queues,
        queue_defaults=dict.fromkeys(settings.queues, defaults),
        ledger_kept_ms=to_ms(settings.ledger_kept),
    )


def _run(settings: Settings, registry: Registry) -> int | None:
    """All of them until Ctrl-C; the worker's exit code if it ended without one."""
    from streams.dev.broker import LocalBroker
    from streams.dev.console import console_port, may_start, start_console
    from streams.dev.worker import start_worker

    broker: LocalBroker | None = None
    worker: subprocess.Popen[bytes] | None = None
    page: subprocess.Popen[bytes] | None = None
    port: int | None = None
    code: int | None = None
    try:
        try:
            bootstrap = os.environ.get("KAFKA_BOOTSTRAP_SERVERS", "")
            if bootstrap:
                _tell_if_silent(bootstrap)
            else:
                broker = LocalBroker(Path(settings.data_dir) / "broker")
                bootstrap = broker.start()
            worker = start_worker({"KAFKA_BOOTSTRAP_SERVERS": bootstrap}, quiet=True)
            if may_start():
                port = console_port(settings.console_port)
                quiet = {"KAFKA_BOOTSTRAP_SERVERS": bootstrap, "STREAMS_LOG_LEVEL": "warning"}
                page = start_console(quiet, port)
            _tell(settings, registry, bootstrap, worker.pid, port, own_broker=broker is not None)
            code = worker.wait()
        except KeyboardInterrupt:
            waiting = (
                f"waiting up to {_grace(settings)} for running jobs; Ctrl-C again stops at once"
            )
            print(f"\n{'stopping' if worker is None else waiting}", file=sys.stderr)
        _stop(settings, worker, page, broker)
    except KeyboardInterrupt:
        raise typer.Exit(exits.INTERRUPTED) from None
    finally:  # whatever is still there
        for process in (page, worker):
            if process is not None:
                process.kill()
                process.wait()
        if broker is not None:
            broker.kill()
    return code


def _tell_if_silent(bootstrap: str) -> None:
    """Say who named a broker that is not there: the worker waits for it, which may be meant."""
    import asyncio

    from streams.errors import BrokerUnavailable
    from streams.wire.admin import open_admin

    async def ask() -> None:
        async with open_admin(bootstrap, timeout_ms=_ANSWER_MS):
            pass

    try:
        asyncio.run(ask())
    except BrokerUnavailable:
        _say(
            f"streams: no broker answers at {bootstrap}, which KAFKA_BOOTSTRAP_SERVERS is set to; "
            "the worker waits for it. Unset it, and `streams dev` starts a broker"
        )


def _grace(settings: Settings) -> str:
    from streams.durations import to_ms

    return f"{to_ms(settings.grace) / 1000:g} s"


def _stop(
    settings: Settings,
    worker: subprocess.Popen[bytes] | None,
    page: subprocess.Popen[bytes] | None,
    broker: LocalBroker | None,
) -> None:
    """The broker last: the worker needs it in order to hand back what it has not done."""
    from streams.dev.children import end
    from streams.durations import to_ms

    if page is not None:
        page.terminate()
    if worker is not None:
        end(worker, to_ms(settings.grace) / 1000 + _AFTER_GRACE_S)
    if page is not None:
        end(page, _AFTER_GRACE_S)
    if broker is not None:
        broker.stop()


def _tell(
    settings: Settings,
    registry: Registry,
    bootstrap: str,
    pid: int,
    port: int | None,
    *,
    own_broker: bool,
) -> None:
    if port is not None:
        _say(f"console  http://127.0.0.1:{port}")
    else:
        _say('console  none, it is not installed: pip install "jobstreams[console]"')
    _say(f"broker   {bootstrap}")
    _say(f"worker   process {pid}")
    if settings.web_port:
        web = f"http://{settings.web_host}:{settings.web_port}"
        _say(f"metrics  {web}/metrics")
        _say(f"health   {web}/health")
    _say(f"queues   {', '.join(registry.queues())}")
    definitions = sorted(registry.definitions(), key=lambda one: one.name)
    _say(f"handlers {len(definitions) or 'none'}")
    width = max((len(one.name) for one in definitions), default=0)
    for one in definitions:
        _say(f"  {one.name:<{width}}  {one.queue}, {_starts(one)}")
    if own_broker:
        _say(f"\nin another terminal:\n  export KAFKA_BOOTSTRAP_SERVERS={bootstrap}\n")
    _say(f"Ctrl-C ends {'all' if own_broker or port is not None else 'the worker'}")


def _starts(definition: JobDefinition) -> str:
    """What makes jobs of it."""
    from streams.cron.tick import Tick
    from streams.cron.words import words

    if definition.cron is not None:
        return words(definition.cron)
    if definition.event_type is not None:
        return f"on event {definition.event_type}"
    return "by `streams cron add`" if issubclass(definition.payload_type, Tick) else "on enqueue"


def _say(line: str) -> None:
    print(line, file=sys.stderr)


def _interrupt(*_: Any) -> None:
    raise KeyboardInterrupt
