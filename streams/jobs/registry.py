"""All definitions of a worker, checked together before it starts."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Final

from streams.durations import format_ms
from streams.errors import RegistrationError
from streams.jobs.definition import JobDefinition, QueueDefaults, Stated
from streams.jobs.middleware import Middleware, middleware_mistakes
from streams.jobs.placement import unreachable
from streams.jobs.resource import factory_mistakes, stand_ins
from streams.jobs.single_options import single_contradictions

# Kafka's rule, with room for a prefix below its 249.
_TOPIC: Final = re.compile(r"[a-zA-Z0-9._-]{1,200}")


class Registry:
    """Finds definitions by name and by event type."""

    def __init__(self, definitions: Iterable[JobDefinition], queues: Sequence[str]) -> None:
        self._by_name = {definition.name: definition for definition in definitions}
        self._queues = tuple(queues)
        self._subscribers: dict[str, tuple[JobDefinition, ...]] = {}
        for definition in self._by_name.values():
            if definition.event_type is not None and definition.queue in self._queues:
                others = self._subscribers.get(definition.event_type, ())
                self._subscribers[definition.event_type] = (*others, definition)
        self._cancelled: dict[str, tuple[JobDefinition, ...]] = {}
        for definition in self._by_name.values():
            if definition.cancel_on is not None and definition.queue in self._queues:
                event_type = definition.cancel_on.__event_type__
                self._cancelled[event_type] = (
                    *self._cancelled.get(event_type, ()),
                    definition,
                )

    @classmethod
    def build(
        cls,
        definitions: Iterable[JobDefinition],
        known_queues: Sequence[str],
        *,
        queue_defaults: Mapping[str, QueueDefaults] | None = None,
        ledger_kept_ms: int = 3 * 86_400_000,
        middleware: Sequence[Middleware] = (),
    ) -> Registry:
        """A registry of definitions that fit together, with their queues' defaults applied.

        `middleware` goes around that of each definition.

        Raises:
            RegistrationError: naming every mistake with its file, line and remedy.
        """
        mistakes = middleware_mistakes(middleware)
        defaults: dict[str, Stated] = {}
        for queue, options in (queue_defaults or {}).items():
            wrong = [] if queue in known_queues else [_unknown(queue, known_queues)]
            defaults[queue] = Stated.check(options, wrong)
            mistakes += [f"defaults of queue {queue!r}: {text}" for text in wrong]
        # A definition that was found twice (a handler that another module imports) is one.
        found = {id(definition): definition for definition in definitions}.values()
        resolved = [each.resolved(defaults.get(each.queue, Stated())) for each in found]
        seen: dict[str, JobDefinition] = {}
        for definition in resolved:
            wrong = [*definition.mistakes, *unreachable(definition)]
            wrong += factory_mistakes(definition.resources.values())
            wrong += factory_mistakes(stand_ins([definition.handler]).values())
            if definition.event_type:
                wrong += _misnamed(definition.event_type)
            if definition.queue not in known_queues:
                wrong.append(_unknown(definition.queue, known_queues))
            if definition.unique_for_ms > ledger_kept_ms:
                wrong.append(
                    f"unique_for is {format_ms(definition.unique_for_ms)}, but the ledger is kept "
                    f"for {format_ms(ledger_kept_ms)}: shorten it, or raise STREAMS_LEDGER_KEPT"
                )
            wrong += single_contradictions(definition, ledger_kept_ms)
            other = seen.setdefault(definition.name, definition)
            if other is not definition:
                wrong.append(_taken(definition, other))
            mistakes += [f"{definition.place}: {definition.name}: {text}" for text in wrong]
        mistakes += _without_hook(seen)
        if mistakes:
            raise RegistrationError("\n".join(mistakes))
        around = tuple(middleware)
        return cls(
            [replace(each, middleware=(*around, *each.middleware)) for each in resolved],
            known_queues,
        )

    def only(self, queues: Sequence[str]) -> Registry:
        """What a worker group that serves these queues needs.

        Events start what belongs to its queues. It runs whatever arrives there: a sender may have
        chosen another queue than the definition's.
        """
        return Registry(self._by_name.values(), queues)

    def by_name(self, name: str) -> JobDefinition | None:
        """The definition of a job name."""
        return self._by_name.get(name)

    def subscribers(self, event_type: str) -> tuple[JobDefinition, ...]:
        """The definitions that an event of this type starts."""
        return self._subscribers.get(event_type, ())

    def cancelled_by(self, event_type: str) -> tuple[JobDefinition, ...]:
        """The definitions of which an event of this type cancels jobs."""
        return self._cancelled.get(event_type, ())

    def event_types(self) -> frozenset[str]:
        """The types of event that somebody subscribes to, or is cancelled by."""
        return frozenset(self._subscribers) | frozenset(self._cancelled)

    def queues(self) -> tuple[str, ...]:
        """The queues of this worker."""
        return self._queues

    def definitions(self) -> tuple[JobDefinition, ...]:
        """All definitions."""
        return tuple(self._by_name.values())


def _without_hook(found: Mapping[str, JobDefinition]) -> list[str]:
    """Definitions whose handler of dead jobs nobody here has."""
    mistakes = []
    for definition in found.values():
        policy = definition.after_dead
        hook = getattr(getattr(policy, "run", None), "__job_definition__", None)
        if hook is not None and hook.name not in found:
            mistakes.append(
                f"{definition.place}: {definition.name}: after_dead: {hook.name} is not among the "
                "handlers that are here: name its module in STREAMS_HANDLERS, too; in a test "
                "hand it to the Sandbox as well"
            )
    return mistakes


def _misnamed(event_type: str) -> list[str]:
    """Why there can be no topic for this type of event."""
    if not _TOPIC.fullmatch(event_type) or event_type in (".", ".."):
        return [
            f"event type {event_type!r} can't be a topic's name: use up to 200 letters, digits, "
            'dots, hyphens and underscores, as in "user.signed_up"'
        ]
    if event_type.startswith("jobs."):
        return [f"event type {event_type!r}: topics that begin with jobs. are the engine's; rename"]
    return []


def _unknown(queue: str, known_queues: Sequence[str]) -> str:
    return (
        f"unknown queue {queue!r}; known are {', '.join(known_queues)}: "
        "use one of them, or add it to STREAMS_QUEUES"
    )


def _taken(definition: JobDefinition, other: JobDefinition) -> str:
    if definition.payload_type is other.payload_type and definition.trigger == "payload":
        return (
            f"{definition.payload_type.__name__} is handled at {other.place} already: a payload "
            "has one handler; remove one of them, or make it an event with two subscribers"
        )
    return f"this name is taken at {other.place}: give one of them another name"
