"""What the engine writes about a job, as bytes: open entries and ledger records.

An open entry carries the original record whole, so that it can be run again. It is one line of
JSON, a newline, and the payload untouched: readable in any Kafka tool.
"""

from __future__ import annotations

from dataclasses import field
from operator import itemgetter
from typing import Any, Final, NamedTuple

import orjson

from streams.errors import UndecodableRecord
from streams.jobs.batches import Tally, read_tally
from streams.jobs.identity import JobKey, read_state_key
from streams.jobs.notes import LogLine, Notes, Progress, without_checkpoint
from streams.jobs.outcome import Failure, StoredResult
from streams.jobs.single import Kind
from streams.jobs.states import State
from streams.values import immutable
from streams.wire.envelope import Envelope
from streams.wire.single import Single, plain_single, read_single, while_open

HISTORY_KEPT = 10
REPLACED: Final = "a later job with its id takes its place"
"""Why a dead job is over that was replaced."""

_STATES = {state.value: state for state in State}


@immutable(frozen=True, slots=True, kw_only=True)
class AttemptRecord:
    """One attempt in a job's history; times in milliseconds since the epoch."""

    attempt: int
    started: int
    ended: int
    worker: str
    outcome: str
    error: str | None = None


@immutable(frozen=True, slots=True, kw_only=True)
class OpenEntry:
    """A job that was taken over from its queue and is not over."""

    job: JobKey
    state: State
    time: int
    generation: int
    run: int
    attempts: int  # used up in this generation
    arrival: int  # place among the open jobs of its key; -1: before all that came on its queue
    due: int | None
    blocks: bool
    record_key: bytes | None
    headers: tuple[tuple[str, bytes | None], ...]
    payload: bytes
    reason: str = ""
    failure: Failure | None = None
    first_failure: int | None = None
    letter_pending: bool = False  # dead: to be sent; replayed: that of before is to be removed
    died: int | None = None  # when it gave up last; None: it never did
    restored: int | None = None  # when a command made it anew, by what another one had been
    unknown_since: int | None = None  # since when it waits for a worker that knows its name
    held: str | None = None  # the limit that it waits for: see worker/limits.py
    starts: int = 0  # recorded starts without an outcome: see worker/suspects.py
    is_supposed: bool = False  # running, for all that is known: nobody has seen it run
    started_by: int | None = None  # when it had started at the latest, if that was recorded ahead
    commanded: int = -1  # the offset of the last command that was obeyed: a copy changes nothing
    not_before: int | None = None  # when it could start, if a command said so after its sender
    enqueued: int = 0  # when the broker took the record that it comes from
    origin: tuple[str, int, int] = ("", 0, 0)  # topic, partition, offset
    history: tuple[AttemptRecord, ...] = ()
    notes: Notes | None = None  # what its handler said of it
    tally: Tally | None = None  # of a callback: which of its children are over
    single: Single | None = None  # of jobs like it only one is to run
    # What its record says, if that was read by whoever made this; it is not written.
    envelope: Envelope | None = field(default=None, repr=False, compare=False)

    @property
    def position(self) -> tuple[int, int, int]:
        """How far the job is; later compares greater."""
        return (self.time, self.generation, self.run)

    @property
    def failed_at(self) -> int:
        """Of a dead job: when it failed last."""
        if self.died is not None:
            return self.died
        return self.history[-1].ended if self.history else self.first_failure or self.time

    @property
    def has_run(self) -> bool:
        """Whether it runs, or is known to have run when its worker ended."""
        return self.state is State.RUNNING and not self.is_supposed

    @property
    def told(self) -> State:
        """Its state, as people are told it: no job runs that may only have run once."""
        is_supposed = self.state is State.RUNNING and self.is_supposed
        return State.QUEUED if is_supposed else self.state


def awaits(entry: OpenEntry) -> bool:
    """Whether a callback sleeps until its children are over, and not as its handler wanted it."""
    return entry.state is State.SLEEPING and entry.due is None


def is_debounced(entry: OpenEntry) -> bool:
    """Whether it waits until nothing newer of its key has come for a while."""
    single = entry.single
    return single is not None and single.kind is Kind.DEBOUNCE and counted(entry) is not None


def counted(entry: OpenEntry) -> Single | None:
    """How an open job counts for those like it that come; None: it does not."""
    if entry.single is None:
        return None
    return while_open(
        entry.single,
        state=entry.state,
        generation=entry.generation,
        run=entry.run,
        attempts=entry.attempts,
    )


@immutable(frozen=True, slots=True, kw_only=True)
class LedgerRecord:
    """What became of a job that is over."""

    job: JobKey
    state: State
    time: int
    generation: int
    run: int
    attempts: int
    ended: int
    unique_for_ms: int = 86_400_000  # for how long after its end the same id is refused
    result: bytes | None = None  # JSON
    stored: StoredResult | None = None  # a result that is too large for that
    reason: str = ""
    failure: Failure | None = None
    history: tuple[AttemptRecord, ...] = ()
    notes: Notes | None = None  # without a checkpoint
    single: Single | None = None  # it counts still for those like it that come
    is_restored: bool = False  # a command had brought it back

    @property
    def position(self) -> tuple[int, int, int]:
        """How far the job was when it ended."""
        return (self.time, self.generation, self.run)

    @property
    def is_replaced(self) -> bool:
        """Whether it was dead, and a later job with its id comes in its place."""
        return self.state is State.DISCARDED and self.reason == REPLACED

    def was_sent_to(self, queue: str, name: str) -> bool:
        """Whether it was dead, and goes on there under this name, with the same id."""
        return self.state is State.DISCARDED and self.reason == sent_to(queue, name)


def sent_to(queue: str, name: str) -> str:
    """Why a dead job is over that goes on elsewhere."""
    return f"sent to queue {queue} as {name}"


def _history(entries: tuple[AttemptRecord, ...]) -> list[list[Any]]:
    kept = entries[-HISTORY_KEPT:]
    return [[e.attempt, e.started, e.ended, e.worker, e.outcome, e.error] for e in kept]


def _read_history(rows: list[list[Any]]) -> tuple[AttemptRecord, ...]:
    if not rows:
        return ()
    return tuple(
        AttemptRecord(attempt=r[0], started=r[1], ended=r[2], worker=r[3], outcome=r[4], error=r[5])
        for r in rows
    )


def _failure(failure: Failure | None) -> list[str] | None:
    return None if failure is None else [failure.type, failure.message, failure.trace]


def _read_failure(row: list[str] | None) -> Failure | None:
    return None if row is None else Failure(type=row[0], message=row[1], trace=row[2])


def _notes(notes: Notes | None) -> dict[str, Any]:
    """The field of that name, if there is anything to keep in it."""
    if notes is None:
        return {}
    said: dict[str, Any] = {}
    if notes.checkpoint is not None:
        said["checkpoint"] = notes.checkpoint  # as text: what it takes is known without writing it
    if notes.progress is not None:
        said["progress"] = [notes.progress.processed, notes.progress.total]
    if notes.log:
        said["log"] = [[line.at, line.attempt, line.level, line.text] for line in notes.log]
    return {"notes": said} if said else {}


def _read_notes(said: dict[str, Any] | None) -> Notes | None:
    if said is None:
        return None
    progress = said.get("progress")
    return Notes(
        checkpoint=said.get("checkpoint"),
        progress=None if progress is None else Progress(processed=progress[0], total=progress[1]),
        log=tuple(
            LogLine(at=row[0], attempt=row[1], level=row[2], text=row[3])
            for row in said.get("log", ())
        ),
    )


def _stored(stored: StoredResult | None) -> dict[str, Any]:
    return {} if stored is None else {"stored": [stored.path, stored.size]}


def _read_stored(row: list[Any] | None) -> StoredResult | None:
    return None if row is None else StoredResult(path=row[0], size=row[1])


def encode_open(entry: OpenEntry) -> tuple[bytes, bytes]:
    """Key and value of an entry of the retry topic."""
    head = orjson.dumps(
        {
            "state": entry.state.value,
            "time": entry.time,
            "generation": entry.generation,
            "run": entry.run,
            "attempts": entry.attempts,
            "arrival": entry.arrival,
            "due": entry.due,
            "blocks": entry.blocks,
            "reason": entry.reason,
            "failure": _failure(entry.failure),
            "first_failure": entry.first_failure,
            "letter_pending": entry.letter_pending,
            "unknown_since": entry.unknown_since,
            "starts": entry.starts,
            "commanded": entry.commanded,
            "enqueued": entry.enqueued,
            "origin": list(entry.origin),
            "history": _history(entry.history),
            **({} if entry.held is None else {"held": entry.held}),
            **({} if entry.told is entry.state else {"supposed": True}),
            **({} if entry.started_by is None else {"started_by": entry.started_by}),
            **({} if entry.died is None else {"died": entry.died}),
            **({} if entry.restored is None else {"restored": entry.restored}),
            **({} if entry.not_before is None else {"not_before": entry.not_before}),
            **_notes(entry.notes),
            **({} if entry.tally is None else {"tally": entry.tally.plain()}),
            **plain_single(entry.single),
            # Headers and keys of foreign records may be any bytes; latin-1 keeps each one.
            "key": None if entry.record_key is None else entry.record_key.decode("latin-1"),
            "headers": [
                [name, None if value is None else value.decode("latin-1")]
                for name, value in entry.headers
            ],
        }
    )
    return entry.job.encode(), head + b"\n" + entry.payload


def decode_open(key: bytes, value: bytes) -> OpenEntry:
    """The entry that `encode_open` wrote.

    Raises:
        UndecodableRecord: these bytes are not an open entry.
    """
    try:
        head, _, payload = value.partition(b"\n")
        m = orjson.loads(head)
        return OpenEntry(
            job=JobKey.decode(key),
            state=_STATES[m["state"]],
            time=m["time"],
            generation=m["generation"],
            run=m["run"],
            attempts=m["attempts"],
            arrival=m["arrival"],
            due=m["due"],
            blocks=m["blocks"],
            reason=m["reason"],
            failure=_read_failure(m["failure"]),
            first_failure=m["first_failure"],
            letter_pending=m["letter_pending"],
            unknown_since=m.get("unknown_since"),
            held=m.get("held"),
            starts=m.get("starts", 0),
            is_supposed=m.get("supposed", False),
            started_by=m.get("started_by"),
            died=m.get("died"),
            restored=m.get("restored"),
            not_before=m.get("not_before"),
            commanded=m.get("commanded", -1),
            enqueued=m.get("enqueued", m["time"]),
            origin=(m["origin"][0], m["origin"][1], m["origin"][2]),
            history=_read_history(m["history"]),
            notes=_read_notes(m.get("notes")),
            tally=read_tally(m["tally"]) if "tally" in m else None,
            single=read_single(m.get("single")),
            record_key=None if m["key"] is None else m["key"].encode("latin-1"),
            headers=tuple(
                # A list first: it is half as expensive as a generator.
                [
                    (name, None if text is None else text.encode("latin-1"))
                    for name, text in m["headers"]
                ]
            ),
            payload=payload,
        )
    except (ValueError, KeyError, TypeError, IndexError, AttributeError) as error:
        raise UndecodableRecord(f"not an open entry: {error}") from error


class Head(NamedTuple):
    """What is kept in order about an open entry, and counted: see `worker/tables.py`."""

    state: State
    arrival: int
    due: int | None
    lane: bytes | None  # that it blocks; None if it blocks none
    size: int  # of its payload and its checkpoint, in bytes
    held: str | None = None  # the limit that it waits for
    single: Single | None = None  # as it counts for those like it that come


def head_of(entry: OpenEntry) -> Head:
    """The head of an entry."""
    blocks = entry.blocks and entry.job.ordering_key is not None
    lane = entry.record_key if blocks else None
    size = len(entry.payload) + _checkpoint_size(entry.notes)
    return Head(entry.state, entry.arrival, entry.due, lane, size, entry.held, counted(entry))


def _checkpoint_size(notes: Notes | None) -> int:
    return 0 if notes is None or notes.checkpoint is None else len(notes.checkpoint.encode())


def decode_head(key: bytes, value: bytes) -> Head:
    """The head of the entry that `encode_open` wrote, for a third of what the entry costs.

    Raises:
        UndecodableRecord: these bytes are not an open entry.
    """
    try:
        _, ordering_key, _ = read_state_key(key)
        end = value.find(b"\n")
        m = orjson.loads(value if end < 0 else value[:end])
        state, arrival, due, blocks, record_key, origin, failure, history, headers, *_ = _fields(m)
        # What `decode_open` would refuse later must not get into the table.
        if history:
            _read_history(history)
        if failure is not None:
            _read_failure(failure)
        _ = origin[0], origin[1], origin[2]
        if "tally" in m:
            read_tally(m["tally"])
        for _, text in headers:
            if text is not None and not text.isascii():
                text.encode("latin-1")
        lane = None if record_key is None else record_key.encode("latin-1")
        if not blocks or ordering_key is None:
            lane = None
        size = 0 if end < 0 else len(value) - end - 1
        if "notes" in m:
            size += _checkpoint_size(_read_notes(m["notes"]))
        held = m.get("held")
        if held is not None:
            held.encode()
        single = read_single(m.get("single"))
        if single is not None:
            generation, run, attempts = m["generation"], m["run"], m["attempts"]
            single = while_open(
                single, state=_STATES[state], generation=generation, run=run, attempts=attempts
            )
        return Head(_STATES[state], arrival, due, lane, size, held, single)
    except (ValueError, KeyError, TypeError, IndexError, AttributeError) as error:
        raise UndecodableRecord(f"not an open entry: {error}") from error


# What no entry lacks; first what a head is made from, and what has to be looked at.
_fields = itemgetter(
    *("state", "arrival", "due", "blocks", "key", "origin", "failure", "history", "headers"),
    *("time", "generation", "run", "attempts", "reason", "first_failure", "letter_pending"),
)


def encode_ledger(record: LedgerRecord) -> tuple[bytes, bytes]:
    """Key and value of a ledger record."""
    value = orjson.dumps(
        {
            "state": record.state.value,
            "time": record.time,
            "generation": record.generation,
            "run": record.run,
            "attempts": record.attempts,
            "ended": record.ended,
            "unique_for_ms": record.unique_for_ms,
            "reason": record.reason,
            "failure": _failure(record.failure),
            "history": _history(record.history),
            **_notes(without_checkpoint(record.notes)),
            "result": None if record.result is None else orjson.Fragment(record.result),
            **_stored(record.stored),
            **plain_single(record.single),
            **({"restored": True} if record.is_restored else {}),
        }
    )
    return record.job.encode(), value


def decode_ledger(key: bytes, value: bytes) -> LedgerRecord:
    """The record that `encode_ledger` wrote.

    Raises:
        UndecodableRecord: these bytes are not a ledger record.
    """
    try:
        m = orjson.loads(value)
        return LedgerRecord(
            job=JobKey.decode(key),
            state=_STATES[m["state"]],
            time=m["time"],
            generation=m["generation"],
            run=m["run"],
            attempts=m["attempts"],
            ended=m["ended"],
            unique_for_ms=m.get("unique_for_ms", 86_400_000),
            reason=m["reason"],
            failure=_read_failure(m["failure"]),
            history=_read_history(m["history"]),
            notes=_read_notes(m.get("notes")),
            result=None if m["result"] is None else orjson.dumps(m["result"]),
            stored=_read_stored(m.get("stored")),
            single=read_single(m.get("single")),
            is_restored="restored" in m,
        )
    except (ValueError, KeyError, TypeError, IndexError, AttributeError) as error:
        raise UndecodableRecord(f"not a ledger record: {error}") from error


def ledger_single(value: bytes) -> Single | None:
    """How the record that `encode_ledger` wrote counts for those like it."""
    if b'"single"' not in value:  # of most, and this costs little
        return None
    return read_single(orjson.loads(value).get("single"))
