"""`streams audit`: what became of every accepted job, counted from the topics themselves."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from streams.cli import exits
from streams.cli.output import JSON, fail, print_json, print_table

if TYPE_CHECKING:
    from streams.audit.accepted import Accepted
    from streams.audit.audit import Report
    from streams.audit.fault import Fault
    from streams.audit.rules import Rules
    from streams.settings import Settings

SHOWN = 100  # faults for people; programs are told all of them


def audit(
    queue: list[str] = typer.Option([], "--queue", help="Only this queue; may be repeated."),
    full: bool = typer.Option(False, "--full", help="From the beginning, whatever was read."),
    checkpoint: Path | None = typer.Option(
        None,
        metavar="PATH",
        help="What the last audit counted; by default a file in STREAMS_DATA_DIR.",
    ),
    accepted: str | None = typer.Option(
        None,
        metavar="FILE",
        help="Ids that a client was told are accepted, one on each line ('-': standard input).",
    ),
    acknowledge: bool = typer.Option(
        False,
        "--acknowledge",
        help="What is wrong now is known: the next audit goes on from here, and does not tell it.",
    ),
    as_json: bool = JSON,
) -> None:
    """Account for every accepted job; exit code 1 if one is lost, or was settled twice."""
    from streams.settings import Settings

    if accepted is not None and queue:
        fail("--accepted looks in all queues: leave --queue out", exits.USAGE)
    settings = Settings()
    told = None if accepted is None else _read_accepted(accepted)
    path = checkpoint or Path(settings.data_dir) / f"audit-{settings.prefix or 'default'}.sqlite"
    queues = _queues(settings, queue)
    report = asyncio.run(_run(settings, queues, path, full, told, acknowledges=acknowledge))
    if as_json:
        print_json(as_plain(report, told))
    else:
        print_report(report, told)
    if report.faults:
        raise typer.Exit(exits.NEGATIVE)


def _queues(settings: Settings, named: list[str]) -> tuple[str, ...]:
    from streams.jobs.meant import advice

    for queue in named:
        if queue not in settings.queues:
            hint = advice(queue, settings.queues, else_="STREAMS_QUEUES has")
            fail(f"there is no queue {queue!r}; {hint}", exits.USAGE)
    return tuple(dict.fromkeys(named)) or settings.queues


def _read_accepted(path: str) -> Accepted:
    from streams.audit.accepted import Accepted

    if path == "-":
        return Accepted(sys.stdin)
    try:
        with open(path, encoding="utf-8") as lines:
            return Accepted(lines)
    except OSError as error:
        fail(f"{path} can't be read: {error.strerror}", exits.USAGE)


async def _run(
    settings: Settings,
    queues: tuple[str, ...],
    path: Path,
    full: bool,
    accepted: Accepted | None,
    *,
    acknowledges: bool,
) -> Report:
    from streams.audit.accepted import look_for
    from streams.audit.audit import Audit
    from streams.audit.checkpoint import Checkpoint
    from streams.audit.kafka_topics import open_topics
    from streams.wire.topics import TopicNames

    names, rules = TopicNames(settings.prefix), _rules(settings)
    with Checkpoint(path, settings.prefix) as checkpoint:
        if full:
            checkpoint.forget()
        async with open_topics(settings.bootstrap_servers, settings.prefix, queues) as topics:
            audit = Audit(
                topics,
                names,
                topics.partitions,
                rules=rules,
                checkpoint=checkpoint,
                tell=_tell_progress,
                acknowledges=acknowledges,
            )
            report = await audit.run()
            if accepted is not None:
                _tell_progress("looking for what was accepted")
                await look_for(accepted, topics, names, topics.partitions)
                report.faults += accepted.faults()
    return report


def _rules(settings: Settings) -> Callable[[], Rules]:
    """What has to be known of jobs: some of it their handlers say, if they are here."""
    from streams.audit.rules import Rules
    from streams.cli.handlers import loaded
    from streams.durations import to_ms

    definitions: Iterable[Any] = ()
    if settings.handlers or _names_handlers():
        definitions = tuple(loaded()[1].definitions())
    else:
        _tell("no handlers are named: what completed with ledger=False counts as lost")
    unrecorded = frozenset(each.name for each in definitions if not each.ledger)
    unique_for = {each.name: each.unique_for_ms for each in definitions}
    ledger_ms, unique_for_ms = to_ms(settings.ledger_kept), to_ms(settings.unique_for)

    def rules() -> Rules:
        return Rules(
            now=time.time_ns() // 1_000_000,
            ledger_ms=ledger_ms,
            unique_for_ms=unique_for_ms,
            unique_for=unique_for,
            unrecorded=unrecorded,
        )

    return rules


def _names_handlers() -> bool:
    """Whether pyproject.toml does."""
    from streams.errors import SettingsError
    from streams.jobs.discovery import handler_modules

    try:
        return bool(handler_modules(()))
    except SettingsError:
        return False


def _tell_progress(text: str) -> None:
    """To people alone: nobody wants a line for each partition in a log."""
    if sys.stderr.isatty():
        _tell(text)


def _tell(text: str) -> None:
    print(f"audit: {text}", file=sys.stderr)


def as_plain(report: Report, accepted: Accepted | None) -> dict[str, Any]:
    """For programs: all queues together, each of its partitions, and what is wrong."""
    from streams.audit.tally import total

    plain = total(report.tallies.values()).plain()
    told = {} if accepted is None else {"told": accepted.count}
    return {
        **plain,
        **told,
        "faults": [fault.plain() for fault in report.faults],
        "partitions": [
            {"queue": queue, "partition": partition, **tally.plain()}
            for (queue, partition), tally in report.tallies.items()
        ],
    }


_COLUMNS = (
    *("accepted", "completed", "cancelled", "discarded", "expired", "dead", "pending"),
    "unaccounted",
)
_SELDOM = (
    *("resolving", "acknowledged", "duplicates", "unrecorded", "forgotten", "forwarded"),
    "undecodable",
)


def print_report(report: Report, accepted: Accepted | None) -> None:
    """For people: a row for each queue, and what is wrong."""
    from streams.audit.tally import total

    queues = list(dict.fromkeys(queue for queue, _ in report.tallies))
    rows = {queue: report.of_queue(queue).plain() for queue in queues}
    all_of_them = total(report.tallies.values())
    sums = all_of_them.plain()
    columns = [*_COLUMNS, *(name for name in _SELDOM if sums[name])]
    print_table(
        ("queue", *columns),
        [(queue, *(f"{row[name]:,}" for name in columns)) for queue, row in rows.items()],
    )
    if all_of_them.unseen:
        print(f"{all_of_them.unseen:,} offsets were trimmed before any audit had read them")
    if accepted is not None:
        print(f"looked for, as a client was told of them: {accepted.count:,}")
    if not report.faults:
        print("every accepted job is accounted for")
        return
    print_table(
        ("id", "name", "key", "queue", "partition", "offset", "why"),
        [_row(fault) for fault in report.faults[:SHOWN]],
    )
    more = len(report.faults) - SHOWN
    rest = f", {more:,} of them with --json alone" if more > 0 else ""
    print(f"faults: {len(report.faults):,}{rest}")


def _row(fault: Fault) -> tuple[str, ...]:
    name, key, id_ = fault.job
    return (
        id_,
        name,
        key or "",
        fault.queue,
        "" if fault.partition < 0 else str(fault.partition),
        "" if fault.offset < 0 else str(fault.offset),
        f"{fault.why}; {fault.detail}" if fault.detail else fault.why,
    )
