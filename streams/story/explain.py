"""Why a job is not done yet, decided from what the topics say of it and of its key. Pure."""

from __future__ import annotations

import shlex
from dataclasses import dataclass, replace

from streams.jobs.identity import JobKey
from streams.jobs.states import OVER, State
from streams.story.finding import Found
from streams.wire.state import OpenEntry, awaits, is_debounced
from streams.wire.times import show_local as show_time
from streams.worker.control import Pause


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """An attempt that a worker says it runs."""

    job: JobKey
    worker: str
    since: int
    attempt: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """What the topics say about a job and its partition; times in ms since the epoch."""

    found: Found
    offset: int | None = None  # of its record in the queue, if the queue still has it
    committed: int = 0  # all below it is settled or taken over
    blockers: tuple[
        OpenEntry, ...
    ] = ()  # open jobs of its key that others wait for, the first first
    runs: tuple[Run, ...] = ()  # of this job, or of its key
    owner: str | None = None  # the worker that has its partition
    attempts: int | None = None  # how many it has, if that is known here
    pause: Pause | None = None  # of its queue
    job_pause: Pause | None = None  # of jobs of its name there
    limit: str = ""  # for which jobs like it wait in that worker's memory
    call: str = ""  # how many are there for the call in which jobs like it are to run
    full: tuple[str, ...] = ()  # kinds of slots of that worker that are waited for


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """A word for programs, a sentence for people."""

    kind: str
    text: str
    blocker: OpenEntry | None = None
    before: int | None = None  # how many offsets, or open jobs of its key
    remedy: str = ""


def explain(evidence: Evidence, now: int) -> Answer:
    """Why the job is not done yet, or that it is."""
    entry = evidence.found.story.entry
    state = evidence.found.status.state
    if state in OVER:
        return _over(evidence)
    if state is State.DEAD and entry is not None:
        return _dead(evidence, entry)
    answer = _waiting(evidence, entry, now)
    if evidence.owner is None and not answer.remedy and answer.kind != "over":
        answer = replace(answer, remedy="no worker has its partition: start one")
    return answer


def _waiting(evidence: Evidence, entry: OpenEntry | None, now: int) -> Answer:
    if entry is not None and entry.unknown_since is not None:
        return Answer(
            kind="no-handler",
            text=f"no worker has a handler named {entry.job.name!r}, since "
            f"{show_time(entry.unknown_since)}; after 15 minutes it is dead",
            remedy="deploy a worker that has one",
        )
    if entry is not None and entry.tally is not None and awaits(entry):
        return Answer(kind="batch", text=f"it {entry.tally.told()}")
    if entry is not None and entry.due is not None and entry.due > now:
        match entry.state:
            case State.SCHEDULED if is_debounced(entry):
                return Answer(
                    kind="debounced",
                    text=f"it runs at {show_time(entry.due)}, unless a newer one of its key comes "
                    "and takes its place",
                )
            case State.SCHEDULED:
                return Answer(kind="delayed", text=f"it waits for {show_time(entry.due)}")
            case State.RETRYING:
                return Answer(
                    kind="retrying",
                    text=f"{_attempt(entry.attempts + 1, evidence.attempts)} is at "
                    f"{show_time(entry.due)}; the last one: {error_of(entry)}",
                )
            case State.SLEEPING:
                holds = ", and its key with it" if entry.blocks else ""
                return Answer(
                    kind="sleeping", text=f"it asked to sleep until {show_time(entry.due)}{holds}"
                )
    for run in evidence.runs:
        if run.job == evidence.found.job:
            return Answer(
                kind="running",
                text=f"{_attempt(run.attempt, evidence.attempts)} runs on {run.worker} since "
                f"{show_time(run.since)}",
            )
    if (paused := _paused(evidence)) is not None:
        return paused
    if entry is not None and entry.told is State.QUEUED:
        return _supposed(evidence)
    if entry is not None and entry.state is State.RUNNING and evidence.owner is None:
        kept = None if entry.notes is None else entry.notes.checkpoint
        whence = "anew" if kept is None else "from its checkpoint"
        return Answer(
            kind="handed-back",
            text=f"it ran when its worker ended; the next one starts it {whence}",
        )
    if entry is not None and entry.state is State.RUNNING:
        return Answer(
            kind="running",
            text=f"{_attempt(entry.attempts + 1, evidence.attempts)} runs since "
            f"{show_time(entry.due)}: it was taken over as a long one",
        )
    if entry is not None and entry.held is not None:
        return Answer(kind="limited", text=_limited(entry.reason))
    behind = _behind(evidence, entry, now)
    if behind is not None and entry is not None:
        return behind
    if entry is None:
        return _queued(evidence, behind)
    if evidence.call:
        return _gathering(evidence)
    if entry.due is not None:
        return Answer(
            kind="due", text=f"it is due since {show_time(entry.due)}, and waits for a slot"
        )
    return Answer(kind="due", text="it is the first of its key, and waits for a slot")


def _supposed(evidence: Evidence) -> Answer:
    """Of a job whose start was put on record since its worker ended without a word."""
    ran = "it may have run when its worker ended"
    if evidence.owner is None:
        return Answer(kind="handed-back", text=f"{ran}; the next one starts it")
    if evidence.limit:
        return Answer(kind="limited", text=_limited(evidence.limit))
    return Answer(kind="due", text=f"{ran}, and waits for a slot")


def _paused(evidence: Evidence) -> Answer | None:
    queue, name = evidence.found.queue, evidence.found.job.name
    for pause, what, option in (
        (evidence.pause, f"queue {queue}", ""),
        (evidence.job_pause, f"{name} of queue {queue}", f" --job {name}"),
    ):
        if pause is not None:
            reason = f": {pause.reason}" if pause.reason else ""
            return Answer(
                kind="paused",
                text=f"{what} is paused since {show_time(pause.since)}{reason}",
                remedy=f"streams queues resume {queue}{option}",
            )
    return None


def _over(evidence: Evidence) -> Answer:
    ledger = evidence.found.story.ledger
    assert ledger is not None
    reason = f": {ledger.reason}" if ledger.reason else ""
    return Answer(kind="over", text=f"it is {ledger.state} since {show_time(ledger.ended)}{reason}")


def _dead(evidence: Evidence, entry: OpenEntry) -> Answer:
    ended = entry.history[-1].ended if entry.history else entry.first_failure
    letter = "its letter is on its way" if entry.letter_pending else "it has a dead letter"
    halts = "; its key is halted until that is resolved" if entry.blocks else ""
    return Answer(
        kind="dead",
        text=f"it gave up at {show_time(ended)}, {letter}{halts}: {error_of(entry)}",
        remedy=_replay(entry.job, evidence.found.queue),
    )


def _behind(evidence: Evidence, entry: OpenEntry | None, now: int) -> Answer | None:
    """The job of its key that it waits for, if there is one."""
    own = evidence.found.job
    earlier = [
        each
        for each in evidence.blockers
        if entry is None or entry.state is not State.PARKED or rank(each) < rank(entry)
    ]
    if earlier:
        first = earlier[0]
        others = f" ({len(earlier)} open jobs of its key are before it)" if earlier[1:] else ""
        if first.state is State.DEAD:
            return Answer(
                kind="halted",
                text=f"its key {own.ordering_key} is halted behind {_name(first.job)}, which is "
                f"dead: {error_of(first)}{others}",
                blocker=first,
                before=len(earlier),
                remedy=_replay(first.job, evidence.found.queue),
            )
        return Answer(
            kind="behind",
            text=f"it waits for {_name(first.job)} of its key {own.ordering_key}: "
            f"{_standing(first, evidence, now)}{others}",
            blocker=first,
            before=len(earlier),
        )
    for run in evidence.runs:
        if run.job != own:
            return Answer(
                kind="behind",
                text=f"it waits for {_name(run.job)} of its key {own.ordering_key}: it runs on "
                f"{run.worker} since {show_time(run.since)}",
                before=1,
            )
    return None


def _queued(evidence: Evidence, behind: Answer | None) -> Answer:
    """No state knows it: it is not read yet, or in hand, or over for long."""
    offset, committed = evidence.offset, evidence.committed
    if offset is None or offset < committed:
        return Answer(
            kind="over",
            text="it is over, and no record of it is kept: its handler has ledger=False, or "
            "STREAMS_LEDGER_KEPT is over",
        )
    before = offset - committed
    if behind is not None and behind.blocker is None:
        return replace(behind, before=before)
    if evidence.limit and behind is None:
        return Answer(kind="limited", text=_limited(evidence.limit), before=before)
    if evidence.call and behind is None:
        return replace(_gathering(evidence), before=before)
    place = f"offset {offset} of partition {evidence.found.partition}"
    then = f"; then {behind.text}" if behind else _full(evidence)
    taken = "" if evidence.owner is None else ": it is being taken up"
    text = (
        f"it is at {place}, {_count(before, 'offset')} after what is settled (the commit is "
        f"{committed}){then}"
        if before
        else f"it is at {place}, the next one to be settled{taken}{then}"
    )
    blocker = behind.blocker if behind else None
    return Answer(kind="unread", text=text, blocker=blocker, before=before)


def _gathering(evidence: Evidence) -> Answer:
    text = f"it waits for others to run in one call with: {evidence.call}"
    return Answer(kind="gathering", text=text)


def _full(evidence: Evidence) -> str:
    names = {"loop": "coroutines", "thread": "threads", "process": "processes"}
    kinds = " and ".join(f"for {names.get(kind, kind)}" for kind in evidence.full)
    return f"; all slots of {evidence.owner} {kinds} are in use" if kinds else ""


def _limited(reason: str) -> str:
    return f"it waits for a limit: {reason}"


def rank(entry: OpenEntry) -> tuple[bool, int, bytes]:
    """The order in which jobs of a key go on: what has started, then as they arrived."""
    return (entry.state == "parked", entry.arrival, entry.job.encode())


def _standing(entry: OpenEntry, evidence: Evidence, now: int) -> str:
    run = next((run for run in evidence.runs if run.job == entry.job), None)
    if run is not None:
        return f"running on {run.worker} since {show_time(run.since)}"
    parts = [entry.told.value]
    if entry.attempts:
        parts.append(f"{_count(entry.attempts, 'attempt')} used")
    if entry.due is not None and entry.due > now:
        parts.append(f"due at {show_time(entry.due)}")
    if entry.failure is not None:
        parts.append(error_of(entry))
    return ", ".join(parts)


def _replay(job: JobKey, queue: str) -> str:
    which, name = shlex.quote(job.id), shlex.quote(job.name)
    return f"streams dlq replay {which} --job {name} --queue {shlex.quote(queue)}"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _attempt(number: int, of: int | None) -> str:
    return f"attempt {number}" if of is None else f"attempt {number} of {of}"


def error_of(entry: OpenEntry) -> str:
    failure = entry.failure
    return entry.reason if failure is None else f"{failure.type}: {failure.message}"


def _name(job: JobKey) -> str:
    return f"{job.name} {job.id}"
