"""`streams jobs why`: what a job waits for."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import typer

from streams.cli.output import JSON, print_fields, print_json

if TYPE_CHECKING:
    from streams.jobs.identity import JobKey
    from streams.settings import Settings
    from streams.story.explain import Answer, Evidence, Run
    from streams.story.finding import Found
    from streams.wire.envelope import Record
    from streams.wire.state import OpenEntry
    from streams.wire.topics import TopicNames
    from streams.worker.control import Pause


def why(
    id: str = typer.Argument(metavar="ID", help="The job's id."),
    name: str | None = typer.Option(None, "--name", help="The job's name, where two have the id."),
    queue: str | None = typer.Option(None, "--queue", help="Its queue; looks there alone."),
    as_json: bool = JSON,
) -> None:
    """Say what a job waits for: its turn, its time, its key, its letter, a worker."""
    from streams.story.explain import explain

    now = time.time_ns() // 1_000_000
    evidence = asyncio.run(_gather(id, name, queue, now))
    answer = explain(evidence, now)
    if as_json:
        print_json(_as_json(evidence, answer))
        return
    found = evidence.found
    print_fields(
        [
            ("id", found.job.id),
            ("name", found.job.name),
            ("queue", f"{found.queue}, partition {found.partition}"),
            ("key", found.job.ordering_key or ""),
            ("state", found.status.state.value),
            ("why", answer.text),
            ("remedy", answer.remedy),
        ]
    )


class Witness:
    """Takes the records of a scan, and keeps what bears on one job."""

    def __init__(self, found: Found, names: TopicNames) -> None:
        self._found = found
        self._queue = names.queue(found.queue)
        self._ledger = names.ledger(found.queue)
        self._workers = names.workers
        self._control = names.control
        self._pauses: dict[str, Pause] = {}  # of its queue (""), and of its job there
        self._offset: int | None = None
        self._committed = 0
        self._open: dict[bytes, OpenEntry] = {}
        self._over: dict[bytes, tuple[int, int, int]] = {}  # how far jobs were that ended
        self._said: dict[str, tuple[int, Any]] = {}  # by worker: when, and what

    def take(self, record: Record) -> None:
        """Note what one record says."""
        from streams.errors import UndecodableRecord

        if record.topic == self._workers:
            self._take_presence(record)
        elif record.topic == self._control:
            self._take_control(record)
        elif record.partition == self._found.partition:
            try:
                self._take_state(record)
            except (UndecodableRecord, ValueError):
                return  # others' records are no reason to be silent about ours

    def evidence(self, found: Found, now: int, attempts: int | None) -> Evidence:
        """All of it, as of `now`."""
        from streams.story.explain import Evidence, rank
        from streams.worker.presence import GONE_AFTER_MS

        place = (found.queue, found.partition)
        alive = {w: said for w, (at, said) in self._said.items() if at >= now - GONE_AFTER_MS}
        blockers = [
            entry
            for key, entry in self._open.items()
            if entry.job != found.job
            and entry.blocks
            and self._over.get(key, (-1, 0, 0)) < entry.position
        ]
        owner = next((w for w, said in alive.items() if _has(said, place)), None)
        told = alive.get(owner) if owner else None
        return Evidence(
            found=found,
            offset=self._offset,
            committed=self._committed,
            blockers=tuple(sorted(blockers, key=rank)),
            runs=tuple(_runs(alive, found.job)),
            limit=_told_of(told, "limits", found.job),
            call=_told_of(told, "calls", found.job),
            full=tuple((told or {}).get("full", ())),
            owner=owner,
            attempts=attempts,
            pause=self._pauses.get(""),
            job_pause=self._pauses.get(found.job.name),
        )

    def _take_control(self, record: Record) -> None:
        from streams.worker.control import pause_record, read_pause

        for job in ("", self._found.job.name):
            if record.key == pause_record(self._found.queue, None, job=job)[0]:
                self._pauses.pop(job, None)
                if (told := read_pause(record.key, record.value)) is not None:
                    self._pauses[job] = told[1]

    def _take_state(self, record: Record) -> None:
        from streams.wire.envelope import decode
        from streams.wire.state import decode_ledger, decode_open
        from streams.worker.tables import COMMITTED

        key, job = record.key or b"", self._found.job
        if record.topic == self._queue:
            if key == (job.ordering_key or job.id).encode():
                sent = decode(record)
                if (sent.name, sent.id) == (job.name, job.id):
                    self._offset = record.offset
        elif key == COMMITTED:
            self._committed = int(record.value or b"0")
        elif not self._is_of_key(key):
            return
        elif record.topic == self._ledger:
            if record.value is not None:
                self._over[key] = decode_ledger(key, record.value).position
        elif record.value is None:
            self._open.pop(key, None)
        else:
            self._open[key] = decode_open(key, record.value)

    def _is_of_key(self, key: bytes) -> bool:
        from streams.jobs.identity import JobKey

        ordering_key = self._found.job.ordering_key
        if ordering_key is None or key.startswith(b"#"):
            return False
        return JobKey.decode(key).ordering_key == ordering_key

    def _take_presence(self, record: Record) -> None:
        import orjson

        worker = (record.key or b"").decode(errors="replace")
        if record.value is None:
            self._said.pop(worker, None)
            return
        try:
            self._said[worker] = (record.timestamp, orjson.loads(record.value))
        except ValueError:
            return


def _runs(alive: dict[str, Any], job: JobKey) -> Iterator[Run]:
    from streams.jobs.identity import JobKey
    from streams.story.explain import Run

    for worker, said in alive.items():
        for each in said.get("running", ()):
            its = JobKey(name=each["name"], ordering_key=each["key"], id=each["id"])
            is_of_key = job.ordering_key is not None and its.ordering_key == job.ordering_key
            if its == job or is_of_key:
                yield Run(job=its, worker=worker, since=each["since"], attempt=each["attempt"])


def _told_of(said: Any, what: str, job: JobKey) -> str:
    """For what jobs like it wait in the worker that has its partition, by what that says."""
    for each in (said or {}).get(what, ()):
        if each["name"] == job.name and each["key"] in (None, job.ordering_key):
            return str(each["reason"])
    return ""


def _has(said: Any, place: tuple[str, int]) -> bool:
    return place[1] in said.get("partitions", {}).get(place[0], ())


async def _gather(id: str, name: str | None, queue: str | None, now: int) -> Evidence:
    """Find the job, then read its queue's topics again, for its key and as of one moment."""
    from streams.cli.jobs import _find
    from streams.settings import Settings
    from streams.story.finding import Finder
    from streams.wire.reader import read_topics
    from streams.wire.topics import TopicNames

    settings = Settings()
    names = TopicNames(settings.prefix)
    found = await _find(id, name, queue)
    finder = Finder(names, (found.queue,), id)
    witness = Witness(found, names)
    async for record in read_topics(
        settings.bootstrap_servers, [*finder.topics, names.workers, names.control]
    ):
        finder.take(record)
        witness.take(record)
    latest = next((each for each in finder.found() if each.job == found.job), found)
    return witness.evidence(latest, now, _attempts(latest, settings))


def _attempts(found: Found, settings: Settings) -> int | None:
    """How many attempts the job has: its own option, or its definition's where that is here."""
    from streams.jobs.discovery import handler_modules, load_handlers
    from streams.jobs.registry import Registry

    if found.sent is not None and found.sent.options is not None and found.sent.options.attempts:
        return found.sent.options.attempts
    try:
        definitions = load_handlers(handler_modules(settings.handlers))
        definition = Registry.build(definitions, settings.queues).by_name(found.job.name)
    except Exception:  # whoever asks need not have the handlers
        return None
    return None if definition is None else definition.retry.attempts


def _as_json(evidence: Evidence, answer: Answer) -> dict[str, Any]:
    from streams.story.explain import error_of

    found, first = evidence.found, answer.blocker
    entry = found.story.entry
    return {
        "id": found.job.id,
        "name": found.job.name,
        "queue": found.queue,
        "key": found.job.ordering_key,
        "partition": found.partition,
        "state": found.status.state.value,
        "why": answer.kind,
        "answer": answer.text,
        "remedy": answer.remedy or None,
        "due": None if entry is None else entry.due,
        "before": answer.before,
        "blocker": None
        if first is None
        else {
            "id": first.job.id,
            "name": first.job.name,
            "state": first.state.value,
            "attempts": first.attempts,
            "due": first.due,
            "error": error_of(first) or None,
        },
        "worker": evidence.owner,
    }
