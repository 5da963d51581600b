"""The command `streams`: one module for each noun; what is heavy is imported by its command."""

from __future__ import annotations

import logging
import sys
from collections.abc import Sequence

import typer

from streams.cli import (
    actions,
    audit,
    bench,
    console,
    cron,
    dev,
    dlq,
    doctor,
    exits,
    history_replay,
    jobs,
    queues,
    send,
    topics,
    worker,
    workers,
)
from streams.errors import BrokerUnavailable, StreamsError
from streams.version import VERSION

app = typer.Typer(
    name="streams",
    epilog=exits.EPILOG,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


def _print_version(asked: bool) -> None:
    if asked:
        print(VERSION)
        raise typer.Exit


@app.callback()
def streams(
    version: bool = typer.Option(
        False, "--version", is_eager=True, callback=_print_version, help="The version, and no more."
    ),
) -> None:
    """Background jobs on Kafka. Settings are STREAMS_* variables and KAFKA_BOOTSTRAP_SERVERS."""


app.command("audit", epilog=exits.EPILOG)(audit.audit)
app.command("bench", epilog=exits.EPILOG)(bench.bench)
app.command("dev", epilog=exits.EPILOG)(dev.dev)
app.command("doctor", epilog=exits.EPILOG)(doctor.doctor)
app.command("emit", epilog=exits.EPILOG)(send.emit)
app.command("enqueue", epilog=exits.EPILOG)(send.enqueue)
app.command("worker", epilog=exits.EPILOG)(worker.worker)
app.add_typer(console.app, name="console")
app.add_typer(topics.app, name="topics")
app.add_typer(jobs.app, name="jobs")
app.add_typer(dlq.app, name="dlq")
app.add_typer(history_replay.app, name="history")
app.add_typer(queues.app, name="queues")
app.add_typer(cron.app, name="cron")
app.add_typer(workers.app, name="workers")
app.add_typer(actions.app, name="actions")


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one command and end the process with its exit code."""
    # What goes wrong is told once, by us, as one line.
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
    try:
        app(args=None if arguments is None else list(arguments), prog_name="streams")
    except BrokerUnavailable as error:
        _end(error, exits.NO_BROKER)
    except StreamsError as error:
        _end(error, exits.USAGE)
    except KeyboardInterrupt:
        sys.exit(exits.INTERRUPTED)
    except BrokenPipeError:  # the reader of our output has gone
        sys.stderr.close()
        sys.exit(exits.NEGATIVE)


def _end(error: Exception, code: int) -> None:
    print(f"streams: {error}", file=sys.stderr)
    sys.exit(code)
