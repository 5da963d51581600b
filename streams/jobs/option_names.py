"""Which word was meant: options, ours and other systems', told apart from metadata. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from functools import lru_cache
from typing import Final

# What `enqueue` takes of one job, and what a definition decides.
OF_A_JOB: Final = (
    *("id", "queue", "delay", "run_at", "attempts", "timeout", "expires", "backoff"),
    "on_dead_id",
)
OF_AN_EVENT: Final = ("id", "time")

_DEFINITION: Final = "the definition has it: @job({}=...)"
_DELAY: Final = 'write delay="10s" (or run_at= with a time)'
_ATTEMPTS: Final = "write attempts=3"
_TIMEOUT: Final = 'write timeout="30s"'
_ID: Final = 'write id="..."'
_QUEUE: Final = 'jobs have no priority: use a queue of their own, as in queue="critical"'
_SAME: Final = "the same id is the same job: write id=..., and @job(unique_for=...)"
_UNIQUE: Final = (
    'the definition has it: @job(unique=Unique(by="key")); the same id= is the same job'
)
_KEPT: Final = "what is over is kept for STREAMS_LEDGER_KEPT"

# By name without underscores, in lower case. Ours that belong elsewhere come first.
_REMEDIES: Final[Mapping[str, str]] = {
    "key": 'the contract names it, as in class Send(JobPayload, name="...", key="account_id")',
    "keyscope": 'the contract names it: class Send(JobPayload, name="...", key_scope="account")',
    "name": 'the contract has it: class Send(JobPayload, name="...")',
    "retry": "write attempts= and backoff=, or @job(retry=Retry(...)) where it is handled",
    "uniquefor": _DEFINITION.format("unique_for"),
    "ordering": _DEFINITION.format("ordering"),
    "ondead": _DEFINITION.format("on_dead"),
    "ledger": _DEFINITION.format("ledger"),
    "concurrency": _DEFINITION.format("concurrency"),
    "clusterconcurrency": _DEFINITION.format("cluster_concurrency"),
    "keyconcurrency": _DEFINITION.format("key_concurrency"),
    "cancelon": _DEFINITION.format("cancel_on"),
    "fairby": _DEFINITION.format("fair_by"),
    "ratelimit": _DEFINITION.format("rate_limit"),
    "cron": _DEFINITION.format("cron"),
    "breaker": _DEFINITION.format("breaker"),
    "batch": "enqueue_batch sends many with a callback; @job(batch=...) takes many in one call",
    "middleware": _DEFINITION.format("middleware"),
    "debounce": _DEFINITION.format("debounce"),
    "throttle": _DEFINITION.format("throttle"),
    "runsin": _DEFINITION.format("runs_in"),
    "permanent": "the definition has it: @job(retry=Retry(permanent=(...,)))",
    "blockskey": 'a handler says it: raise Snooze("1h", blocks_key=True)',
    "options": "write each option by its own name",
    "payload": "it comes first, without a name",
    # Celery, Dramatiq, RQ
    "countdown": _DELAY,
    "eta": "write run_at= with a time that has a zone",
    "delayms": _DELAY,
    "delayseconds": _DELAY,
    "enqueuein": _DELAY,
    "enqueueat": "write run_at= with a time that has a zone",
    "schedule": _DELAY,
    "scheduledat": "write run_at= with a time that has a zone",
    "args": "a contract has fields: Send(account_id=7)",
    "kwargs": "a contract has fields: Send(account_id=7)",
    "taskid": _ID,
    "priority": _QUEUE,
    "lifo": _QUEUE,
    "atfront": _QUEUE,
    "routingkey": 'write queue="..."',
    "exchange": 'write queue="..."',
    "maxretries": _ATTEMPTS,
    "maxattempts": _ATTEMPTS,
    "retries": _ATTEMPTS,
    "retrypolicy": 'write attempts= and backoff=Exponential(base="1s", cap="10m")',
    "retrybackoff": 'write backoff=Exponential(base="1s", cap="10m")',
    "retrydelay": 'write backoff=Fixed("10s")',
    "defaultretrydelay": 'write backoff=Fixed("10s")',
    "autoretryfor": "every exception is retried, but for those of Retry(permanent=(...,))",
    "timelimit": _TIMEOUT,
    "softtimelimit": _TIMEOUT,
    "jobtimeout": _TIMEOUT,
    "maxage": 'write expires="1h"',
    "ttl": 'write expires="1h"',
    "expiresat": 'write expires="1h"',
    "expiresin": 'write expires="1h"',
    "timeoutms": _TIMEOUT,
    "timeoutseconds": _TIMEOUT,
    "resultttl": _KEPT,
    "failurettl": "dead letters are kept until they are replayed or discarded",
    "ignoreresult": "a handler that returns None has no result",
    "serializer": "payloads are JSON",
    "compression": "set it on the topic: compression.type",
    "headers": "metadata is written by name: enqueue(payload, tenant=...)",
    "link": "enqueue the next job in the handler: await ctx.enqueue(...)",
    "linkerror": "watch the dead letters: streams dlq ls",
    "dependson": "enqueue the next job in the handler: await ctx.enqueue(...)",
    "onsuccess": "enqueue the next job in the handler: await ctx.enqueue(...)",
    "onfailure": "watch the dead letters: streams dlq ls",
    # BullMQ, Sidekiq, Oban
    "jobid": _ID,
    "deduplication": _SAME,
    "deduplicationid": _SAME,
    "unique": _UNIQUE,
    "uniquekey": _UNIQUE,
    "idempotencykey": _ID,
    "removeoncomplete": _KEPT,
    "removeonfail": "dead letters are kept until they are replayed or discarded",
    "repeat": _DEFINITION.format("cron"),
}
# What is meant by these at a definition.
_RATE: Final = 'write rate_limit=RateLimit(100, per="1m")'
_AT_ONCE: Final = "write concurrency=, of each worker, or cluster_concurrency=, of all together"
_OF_A_DEFINITION: Final[Mapping[str, str]] = {
    "priority": 'jobs have no priority: give them a queue of their own, as in queue="critical"',
    "rate": _RATE,
    "limiter": _RATE,
    "maxconcurrency": _AT_ONCE,
    "concurrencylimit": _AT_ONCE,
    "globalconcurrency": _AT_ONCE,
    **dict.fromkeys(
        ("attempts", "retries", "maxretries", "maxattempts"), "write retry=Retry(attempts=3)"
    ),
    "backoff": 'write retry=Retry(backoff=Exponential(base="1s", cap="10m"))',
    "timelimit": _TIMEOUT,
    "softtimelimit": _TIMEOUT,
}
# These say the same to an event as to a job.
_OF_BOTH: Final = frozenset({"key", "keyscope", "payload", "options", "args", "kwargs"}) | {
    "headers",
    "serializer",
    "compression",
    "idempotencykey",
}
_LIKELY: Final = (
    *OF_A_JOB,
    *OF_AN_EVENT,
    "priority",
    "countdown",
    "unique_for",
    "rate_limit",
    "throttle",
    "debounce",
)


def _plain(name: str) -> str:
    return name.replace("_", "").lower()


def closest(name: str, known: Iterable[str]) -> str | None:
    """The known name that this one is likely a slip of; short names are like too many words."""
    plain = {_plain(option): option for option in known if len(option) > 3}
    found = get_close_matches(_plain(name), plain, n=1, cutoff=0.8)
    # Longer by a word is another name: `queue_id` is no slip of `queue`.
    return plain[found[0]] if found and abs(len(found[0]) - len(_plain(name))) < 2 else None


def meant_at_definition(name: str) -> str | None:
    """What to write at `@job` instead of a word of other systems, or one of `enqueue`."""
    return _OF_A_DEFINITION.get(_plain(name))


def refuse_options(given: Iterable[str], call: str, known: tuple[str, ...]) -> None:
    """Nothing, if these are words for metadata, and none is an option misspelt or out of place.

    Raises:
        TypeError: naming the right one.
    """
    for name in given:
        if (why := _why_not(name, known)) is not None:
            raise TypeError(f"{call}({name}=...): {why}")


@lru_cache(maxsize=1_000)  # the same few names with every job
def _why_not(name: str, known: tuple[str, ...]) -> str | None:
    plain = _plain(name)
    is_event = "delay" not in known
    same = next((option for option in (*OF_A_JOB, *OF_AN_EVENT) if _plain(option) == plain), None)
    if same is not None:
        return f"write {same}=" if same in known else _elsewhere(same)
    if plain in _REMEDIES:
        remedy = _REMEDIES[plain]
        return remedy if not is_event or plain in _OF_BOTH else f"{_FACT}; for a job, {remedy}"
    near = closest(name, _LIKELY)
    if near is None:
        return None
    if near in known:
        return f"did you mean {near}=? Metadata needs a name that is less like it"
    return f"{near}=? {_why_not(near, known)}; metadata needs a name that is less like it"


_FACT: Final = "an event is a fact, and each subscriber decides for itself in its @job(...)"


def _elsewhere(option: str) -> str:
    if option == "time":
        return "a job's time is that of its sending; run_at= says when it runs"
    return f"{_FACT}; for a job, enqueue(payload, {option}=...)"
