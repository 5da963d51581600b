"""`streams emit` and `streams enqueue`: events and jobs from the shell."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable, Iterable
from typing import TYPE_CHECKING, Any, TypeVar

import typer

from streams.cli import exits
from streams.cli.output import fail

if TYPE_CHECKING:
    from pydantic import BaseModel

    from streams.client import JobClient
    from streams.contracts import Event, JobPayload
    from streams.jobs.registry import Registry

Model = TypeVar("Model", bound="BaseModel")

_PAYLOAD = typer.Argument(metavar="JSON", help="The payload; - reads one from each line of input.")
_ID = typer.Option(None, "--id", help="Its id; sending the same one again is safe.")

_IN_FLIGHT = 500


def emit(
    type: str = typer.Argument(metavar="TYPE", help="Of the event, such as user.signed_up."),
    payload: str = _PAYLOAD,
    id: str | None = _ID,
) -> None:
    """Publish an event; prints its id."""
    from streams.errors import RegistrationError

    async def send(client: JobClient, registry: Registry, line: str) -> str:
        subscribers = registry.subscribers(type)
        if not subscribers:
            known = ", ".join(sorted(registry.event_types())) or "none"
            raise RegistrationError(f"nobody subscribes to {type!r}; event types are: {known}")
        event: Any = _model(subscribers[0].payload_type, line)
        return await client.emit(event, id=id)

    asyncio.run(_send_all(payload, id, send))


def enqueue(
    name: str = typer.Argument(metavar="NAME", help="Of the job, such as reports.send."),
    payload: str = _PAYLOAD,
    id: str | None = _ID,
    queue: str | None = typer.Option(None, help="Another queue than the contract's."),
    delay: str | None = typer.Option(None, help='How long it waits, such as "10m".'),
    attempts: int | None = typer.Option(None, help="How often it is tried."),
    timeout: str | None = typer.Option(None, help='Of one attempt, such as "30s".'),
    expires: str | None = typer.Option(None, help="After this it does not start any more."),
) -> None:
    """Enqueue a job; prints its id."""
    from streams.errors import RegistrationError

    async def send(client: JobClient, registry: Registry, line: str) -> str:
        definition = registry.by_name(name)
        if definition is None or definition.trigger != "payload":
            names = [d.name for d in registry.definitions() if d.trigger == "payload"]
            raise RegistrationError(
                f"no handler takes jobs named {name!r}; names are: {', '.join(names) or 'none'}"
                + ("" if definition is None else f" ({name} is started by events: use emit)")
            )
        job: Any = _model(definition.payload_type, line)
        handle = await client.enqueue(
            job,
            id=id,
            queue=queue,
            delay=delay,
            attempts=attempts,
            timeout=timeout,
            expires=expires,
        )
        return handle.id

    asyncio.run(_send_all(payload, id, send))


async def _send_all(
    payload: str, id: str | None, send: Callable[[JobClient, Registry, str], Awaitable[str]]
) -> None:
    from streams.client import JobClient
    from streams.jobs.discovery import handler_modules, load_handlers
    from streams.jobs.registry import Registry
    from streams.settings import Settings

    if payload == "-" and id is not None:
        fail("--id names one job, and - reads any number of them", exits.USAGE)
    settings = Settings()
    registry = Registry.build(load_handlers(handler_modules(settings.handlers)), settings.queues)
    async with JobClient(
        settings.bootstrap_servers, source="cli", prefix=settings.prefix
    ) as client:
        if payload != "-":
            print(await send(client, registry, payload))
            return
        await _send_lines(sys.stdin, lambda line: send(client, registry, line))


async def _send_lines(lines: Iterable[str], send: Callable[[str], Awaitable[str]]) -> None:
    """Send each line; stops at the first that is refused, and says which."""
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
        for numbers, chunk in _chunks(lines):
            # In one gather, so that they travel together; their order stays, as each is put
            # into the producer's buffer before the next.
            outcomes = await asyncio.gather(*map(send, chunk), return_exceptions=True)
            for number, outcome in zip(numbers, outcomes, strict=True):
                if isinstance(outcome, StreamsError) and not isinstance(outcome, BrokerUnavailable):
                    raise StreamsError(f"line {number}: {outcome}; {sent} were sent before it")
                if isinstance(outcome, BaseException):
                    raise outcome
                print(outcome)
                sent += 1
            progress.update(bar, advance=len(chunk))


def _chunks(lines: Iterable[str]) -> Iterable[tuple[list[int], list[str]]]:
    numbers: list[int] = []
    chunk: list[str] = []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        numbers.append(number)
        chunk.append(line)
        if len(chunk) >= _IN_FLIGHT:
            yield numbers, chunk
            numbers, chunk = [], []
    if chunk:
        yield numbers, chunk


def _model(kind: type[Event] | type[JobPayload], text: str) -> Event | JobPayload:
    from pydantic import ValidationError

    from streams.errors import PayloadInvalid

    try:
        return kind.model_validate_json(text)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        field = ".".join(str(part) for part in first["loc"])
        where = f"{kind.__name__}.{field}" if field else kind.__name__
        raise PayloadInvalid(f"{where}: {first['msg']}", field=field) from None
