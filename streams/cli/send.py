"""`streams emit` and `streams enqueue`: events and jobs from the shell."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable, Iterable
from itertools import islice, takewhile
from typing import TYPE_CHECKING, Any

import typer

from streams.cli import exits
from streams.cli.output import fail
from streams.cli.times import check_duration, check_start

if TYPE_CHECKING:
    from pydantic import BaseModel

    from streams.client import JobClient
    from streams.jobs.registry import Registry

    Contract = type[BaseModel]

_PAYLOAD = typer.Argument(metavar="JSON", help="The payload; - reads one from each line of input.")
_ID = typer.Option(None, "--id", help="Its id; sending the same one again is safe.")

_IN_FLIGHT = 500


def emit(
    type: str = typer.Argument(metavar="TYPE", help="Of the event, such as user.signed_up."),
    payload: str = _PAYLOAD,
    id: str | None = _ID,
) -> None:
    """Publish an event; prints its id."""

    async def send(client: JobClient, event: Any) -> str:
        return await client.emit(event, id=id)

    asyncio.run(_send_all(payload, id, lambda registry: _event(registry, type), send))


def enqueue(
    name: str = typer.Argument(metavar="NAME", help="Of the job, such as reports.send."),
    payload: str = _PAYLOAD,
    id: str | None = _ID,
    queue: str | None = typer.Option(None, help="Another queue than the contract's."),
    delay: str | None = typer.Option(None, help='How long it waits, such as "10m".'),
    run_at: str | None = typer.Option(None, help="When it starts: 2026-12-24T18:00+01:00."),
    attempts: int | None = typer.Option(None, help="How often it is tried."),
    timeout: str | None = typer.Option(None, help='Of one attempt, such as "30s".'),
    expires: str | None = typer.Option(None, help="After this it does not start any more."),
    on_dead_id: str | None = typer.Option(
        None, help="replace: a dead job with its --id is discarded, and it runs."
    ),
) -> None:
    """Enqueue a job; prints its id."""
    at = check_start(delay, run_at)
    check_duration("--timeout", timeout)
    check_duration("--expires", expires)

    async def send(client: JobClient, job: Any) -> str:
        handle = await client.enqueue(
            job,
            id=id,
            queue=queue,
            delay=delay,
            run_at=at,
            attempts=attempts,
            timeout=timeout,
            expires=expires,
            on_dead_id=on_dead_id,  # type: ignore[arg-type]  # it is checked there
        )
        return handle.id

    asyncio.run(_send_all(payload, id, lambda registry: _job(registry, name), send))


def _event(registry: Registry, type: str) -> Contract:
    from streams.errors import RegistrationError
    from streams.jobs.meant import advice

    for subscriber in registry.subscribers(type):
        return subscriber.payload_type
    for definition in registry.cancelled_by(type):
        if definition.cancel_on is not None:
            return definition.cancel_on
    hint = advice(type, registry.event_types(), else_="event types are")
    raise RegistrationError(f"nobody subscribes to {type!r}; {hint}")


def _job(registry: Registry, name: str) -> Contract:
    from streams.errors import RegistrationError
    from streams.jobs.meant import no_job

    definition = registry.by_name(name)
    if definition is None or definition.trigger != "payload":
        instead = "" if definition is None else ": use emit"
        raise RegistrationError(f"{no_job(registry, name)}{instead}")
    return definition.payload_type


async def _send_all(
    payload: str,
    id: str | None,
    contract_in: Callable[[Registry], Contract],
    send: Callable[[JobClient, BaseModel], Awaitable[str]],
) -> None:
    from streams.client import JobClient
    from streams.client_request import read_json
    from streams.jobs.discovery import handler_modules, load_handlers
    from streams.jobs.registry import Registry
    from streams.settings import Settings

    if payload == "-" and id is not None:
        fail("--id names one job, and - reads any number of them", exits.USAGE)
    settings = Settings()
    handlers = load_handlers(handler_modules(settings.handlers))
    contract = contract_in(Registry.build(handlers, settings.queues))
    one = None if payload == "-" else read_json(contract, payload)
    async with JobClient(
        settings.bootstrap_servers, source="cli", prefix=settings.prefix
    ) as client:
        if one is not None:
            print(await send(client, one))
        else:
            await _send_lines(sys.stdin, contract, lambda model: send(client, model))


async def _send_lines(
    lines: Iterable[str], contract: Contract, send: Callable[[BaseModel], Awaitable[str]]
) -> None:
    """Send each line; nothing behind one that does not fit its contract."""
    from rich.console import Console
    from rich.progress import MofNCompleteColumn, Progress, SpinnerColumn, TimeElapsedColumn

    from streams.errors import BrokerUnavailable, StreamsError

    columns = (SpinnerColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    # Ids go to standard output; only on one terminal must they share it with the bar.
    with Progress(
        *columns,
        console=Console(stderr=True),
        transient=True,
        redirect_stdout=sys.stdout.isatty(),
        redirect_stderr=False,
    ) as progress:
        bar = progress.add_task("sending", total=None)
        sent = 0
        for chunk in _chunks(lines):
            models = [_read_or_refuse(contract, line) for _, line in chunk]
            fit = list(takewhile(lambda model: not isinstance(model, StreamsError), models))
            # In one gather, so that they travel together; their order stays, as each is put
            # into the producer's buffer before the next.
            outcomes: list[Any] = await asyncio.gather(*map(send, fit), return_exceptions=True)
            for id in outcomes:
                if isinstance(id, str):
                    print(id)
                    sent += 1
            for (number, _), outcome in zip(chunk, outcomes + models[len(fit) :], strict=True):
                if isinstance(outcome, StreamsError) and not isinstance(outcome, BrokerUnavailable):
                    raise StreamsError(f"line {number}: {outcome}; {sent} were sent")
                if isinstance(outcome, BaseException):
                    raise outcome
            progress.update(bar, advance=len(chunk))


def _chunks(lines: Iterable[str]) -> Iterable[list[tuple[int, str]]]:
    """Lines with their numbers, but for empty ones."""
    numbered = ((number, line) for number, line in enumerate(lines, start=1) if line.strip())
    while chunk := list(islice(numbered, _IN_FLIGHT)):
        yield chunk


def _read_or_refuse(contract: Contract, line: str) -> Any:
    from streams.client_request import read_json
    from streams.errors import PayloadInvalid

    try:
        return read_json(contract, line)
    except PayloadInvalid as error:
        return error
