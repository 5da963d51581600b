"""The limits of jobs as the console shows them."""

from __future__ import annotations

from streams import RateLimit, job
from streams.console.limits import limits_of
from streams.contracts import JobPayload
from streams.projection.numbers import Ended
from streams.replay.workers import Running, WorkerSeen

NOW = 1_800_000_000_000


class Post(JobPayload, name="limits_shown.post", key="to"):
    to: int


@job(concurrency=2, cluster_concurrency=5, rate_limit=RateLimit(10, per="1m"))
async def post(payload: Post) -> None: ...


class Note(JobPayload, name="limits_shown.note", key="to"):
    to: int


@job(rate_limit=RateLimit(3, per="1h", by="key"))
async def note(payload: Note) -> None: ...


def _definition(handler: object):  # type: ignore[no-untyped-def]
    return handler.__job_definition__  # type: ignore[attr-defined]


def _worker(name: str, *running: str) -> WorkerSeen:
    return WorkerSeen(
        worker=name,
        group="workers",
        version="1",
        started=0,
        seen=NOW,
        partitions={},
        standbys={},
        in_hand=0,
        running=tuple(
            Running(name=its, id=str(at), key=None, attempt=1, since=NOW, queue="default")
            for at, its in enumerate(running)
        ),
    )


def _ended(ago: int, number: int, name: str = "limits_shown.post") -> Ended:
    return Ended(
        at=NOW - ago, queue="default", name=name, state="completed", error=None, number=number
    )


def test_what_runs_and_what_has_started_lately_is_in_use():
    definition = _definition(post)
    workers = [
        _worker("w-1", definition.name, definition.name, "other"),
        _worker("w-2", definition.name),
    ]
    ended = [_ended(30_000, 4), _ended(90_000, 100), _ended(1_000, 50, "other")]

    told = limits_of(definition, workers, ended, NOW)

    assert [(limit.what, limit.used, limit.most, limit.about) for limit in told] == [
        ("at a time in one worker", 2, 2, False),
        ("at a time in all workers", 3, 5, False),
        ("starts in 1m", 7, 10, True),
    ]


def test_what_is_of_a_key_is_told_without_its_use():
    (limit,) = limits_of(_definition(note), [], [], NOW)

    assert (limit.what, limit.used, limit.most) == ("starts of one key in 1h", None, 3)


def test_a_job_without_limits_has_none():
    class Plain(JobPayload, name="limits_shown.plain"):
        pass

    @job
    async def plain(payload: Plain) -> None: ...

    assert limits_of(_definition(plain), [], [], NOW) == []
