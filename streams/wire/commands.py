"""Commands: what operators, services and other jobs ask of a job, as bytes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import orjson

from streams.errors import UndecodableRecord
from streams.jobs.identity import JobKey
from streams.jobs.states import State
from streams.wire.state import OpenEntry, decode_open, encode_open
from streams.wire.times import LATEST


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """Something an operator or a service asks of a job.

    `cancel`, `reschedule`, `replay`, `discard`, `move` or `restore`. Or a `report`, which a child
    makes to its callback. Or a `purge` of all jobs of a name and a key, without a key of all of a
    name, without a name of all there are.
    """

    kind: str
    job: JobKey
    reason: str = ""
    generation: int = 0  # replay, discard: the generation of the letter
    index: int = 0  # report: which child it is of
    state: State | None = None  # report: in which the child is
    until: int = 0  # purge: where the queue ended; later jobs are not meant
    sent_by: int = 0  # purge: those sent later are not meant (ms since the epoch); 0: any time
    interrupts: bool = False  # purge: what runs as well
    due: int = 0  # reschedule: when it is to start; move: when it was said (ms since the epoch)
    payload: bytes | None = None  # replay, move: JSON, in place of the one that the job has
    queue: str = ""  # move: where it goes on
    name: str = ""  # move: as which job
    key: str | None = None  # move: its ordering key there, with its scope
    entry: OpenEntry | None = None  # restore: the dead job that is to be there again


def encode_command(command: Command) -> tuple[bytes, bytes]:
    """Key and value of a record of a command topic."""
    value: dict[str, Any] = {
        "kind": command.kind,
        "reason": command.reason,
        "generation": command.generation,
    }
    if command.state is not None:
        value |= {"index": command.index, "state": command.state.value}
    if command.kind == "purge":
        value |= {
            "until": command.until,
            "sent_by": command.sent_by,
            "interrupts": command.interrupts,
        }
    if command.kind in ("reschedule", "move"):
        value["due"] = command.due
    if command.kind == "move":
        value |= {"queue": command.queue, "name": command.name, "key": command.key}
    # What is long or may be any bytes comes behind it, as it is.
    tail = b""
    if command.payload is not None:
        value["has"] = "payload"
        tail = b"\n" + command.payload
    elif command.entry is not None:
        value["has"] = "entry"
        tail = b"\n" + encode_open(command.entry)[1]
    return command.job.encode(), orjson.dumps(value) + tail


def decode_command(key: bytes, value: bytes) -> Command:
    """The command that `encode_command` wrote.

    Raises:
        UndecodableRecord: these bytes are not a command.
    """
    try:
        head, _, tail = value.partition(b"\n")
        m = orjson.loads(head)
        has = m.get("has")
        return Command(
            kind=str(m["kind"]),
            job=JobKey.decode(key),
            reason=str(m.get("reason", "")),
            generation=int(m.get("generation", 0)),
            index=int(m.get("index", 0)),
            state=State(m["state"]) if "state" in m else None,
            until=int(m.get("until", 0)),
            sent_by=int(m.get("sent_by", 0)),
            interrupts=bool(m.get("interrupts", False)),
            due=min(max(int(m.get("due", 0)), 0), LATEST),  # as a header can have it
            payload=tail if has == "payload" else None,
            queue=str(m.get("queue", "")),
            name=str(m.get("name", "")),
            key=None if m.get("key") is None else str(m["key"]),
            entry=_sane(decode_open(key, tail)) if has == "entry" else None,
        )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UndecodableRecord(f"not a command: {error}") from error


def _sane(entry: OpenEntry) -> OpenEntry:
    """An entry that somebody made elsewhere, if it can be reckoned with.

    Raises:
        ValueError: it can't.
    """
    numbers = (entry.time, entry.generation, entry.run, entry.attempts, entry.enqueued)
    perhaps = (entry.due, entry.first_failure, entry.failed_at)
    if not all(0 <= each <= LATEST for each in (*numbers, *(x for x in perhaps if x is not None))):
        raise ValueError("a number of it is out of range")
    if not -1 <= entry.arrival <= LATEST:
        raise ValueError("its arrival is out of range")
    return entry
