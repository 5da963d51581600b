"""What becomes of jobs that gave up, without anybody's doing. Pure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from pydantic import AwareDatetime, ConfigDict, JsonValue, create_model

from streams.contracts import JobPayload
from streams.durations import Duration, to_ms

REPLAYS: Final = 3


class DeadJob(JobPayload):
    """What a handler in `AfterDead(run=...)` receives: the job that gave up, and why.

    `key` is its ordering key without its scope. `is_last`: its policy replays it no more, though
    people may. `payload` is None if it is no JSON, is nested very deeply, or is larger than half a
    megabyte: the letter has it.
    """

    model_config = ConfigDict(frozen=True)

    name: str
    id: str
    queue: str
    key: str | None = None
    generation: int = 0
    attempts: int = 0
    error: str
    message: str
    failed_at: AwareDatetime
    is_last: bool = True
    payload: JsonValue = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AfterDead:
    """A policy for dead jobs of a definition: `AfterDead(run=refund, replay_after="1h")`.

    `run`: a handler that takes a `DeadJob`; each time one gives up, a job for it is enqueued.
    `replay_after`: a dead job is replayed so long after it gave up; `replays` times at most.
    `when_breaker_closes`: its dead jobs are replayed when the breaker of the definition closes,
    `replays` times at most, whatever they died of.
    `discard_after`: a job that has been dead for so long is discarded, with its letter.
    """

    run: Callable[..., Any] | None = None
    replay_after: Duration | None = None
    replays: int = REPLAYS
    when_breaker_closes: bool = False
    discard_after: Duration | None = None

    def due(self, generation: int, failed_at: int) -> int | None:
        """When something is to be done about a job that gave up then (ms since the epoch)."""
        times = [self._replay_at(generation, failed_at), self._discard_at(failed_at)]
        return min((each for each in times if each is not None), default=None)

    def is_last(self, generation: int) -> bool:
        """Whether what gives up in this generation is not replayed by itself."""
        replays = self.replay_after is not None or self.when_breaker_closes
        return not replays or generation >= self.replays

    def is_replayed(self, generation: int, failed_at: int, now: int) -> bool:
        """Whether it is time to replay it."""
        at = self._replay_at(generation, failed_at)
        return at is not None and at <= now

    def is_discarded(self, failed_at: int, now: int) -> bool:
        """Whether it is time to discard it."""
        at = self._discard_at(failed_at)
        return at is not None and at <= now

    def _replay_at(self, generation: int, failed_at: int) -> int | None:
        if self.replay_after is None or generation >= self.replays:
            return None
        return failed_at + to_ms(self.replay_after)

    def _discard_at(self, failed_at: int) -> int | None:
        return None if self.discard_after is None else failed_at + to_ms(self.discard_after)


def dead_contract(function: str, module: str, *, name: str, queue: str) -> type[DeadJob]:
    """The contract of the jobs that one handler of dead jobs takes, in the order of their keys."""
    arguments = {"name": name, "queue": queue, "key": "key"}
    return create_model(function, __base__=DeadJob, __module__=module, __cls_kwargs__=arguments)


def after_dead_mistakes(policy: Any, *, has_breaker: bool, kind: type[Any]) -> list[str]:
    """What does not fit in a policy, a line for each."""
    if not isinstance(policy, AfterDead):
        if callable(policy):
            name = getattr(policy, "__name__", type(policy).__name__)
            run = "..." if policy is AfterDead else name
            return [f"after_dead={name}: write after_dead=AfterDead(run={run})"]
        return [f'after_dead={policy!r}: write after_dead=AfterDead(replay_after="1h")']
    mistakes = []
    for option in ("replay_after", "discard_after"):
        value = getattr(policy, option)
        try:
            if value is not None and not to_ms(value):
                mistakes.append(f"after_dead: {option}={value!r} is no time to wait")
        except (ValueError, TypeError) as error:
            mistakes.append(f"after_dead: {option}: {error}")
    if not mistakes:
        mistakes += _idle_mistakes(policy)
    is_number = isinstance(policy.replays, int) and not isinstance(policy.replays, bool)
    if not is_number or policy.replays < 1:
        mistakes.append(f"after_dead: replays={policy.replays!r} is no number from 1")
    if policy.when_breaker_closes and not has_breaker:
        mistakes.append("after_dead: when_breaker_closes=True needs breaker=Breaker(...)")
    if policy.run is not None:
        mistakes += _hook_mistakes(policy.run, kind)
    return mistakes


def _idle_mistakes(policy: AfterDead) -> list[str]:
    """What a policy says that never comes to anything."""
    after, at_last = policy.replay_after, policy.discard_after
    if policy.run is None and after is None and at_last is None and not policy.when_breaker_closes:
        return ["after_dead does nothing: say run=, replay_after=, or another of its options"]
    if after is not None and at_last is not None and to_ms(at_last) <= to_ms(after):
        return [
            f"after_dead: discard_after={at_last!r} comes before replay_after={after!r}, so that "
            "nothing is replayed"
        ]
    return []


def _hook_mistakes(run: Any, kind: type[Any]) -> list[str]:
    definition = getattr(run, "__job_definition__", None)
    if definition is None or not issubclass(definition.payload_type, DeadJob):
        name = getattr(run, "__qualname__", repr(run))
        return [
            f"after_dead: run={name} is no handler of dead jobs: write @job above it, and let it "
            "take a DeadJob"
        ]
    if issubclass(kind, DeadJob):
        return ["after_dead: run= of a handler of dead jobs would never end: leave it out"]
    return []
