"""All definitions of a worker, checked together before it starts."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from streams.errors import RegistrationError
from streams.jobs.definition import JobDefinition


class Registry:
    """Finds definitions by name and by event type."""

    def __init__(self, definitions: Iterable[JobDefinition], queues: Sequence[str]) -> None:
        self._by_name = {definition.name: definition for definition in definitions}
        self._queues = tuple(queues)
        self._subscribers: dict[str, tuple[JobDefinition, ...]] = {}
        for definition in self._by_name.values():
            if definition.event_type is not None:
                others = self._subscribers.get(definition.event_type, ())
                self._subscribers[definition.event_type] = (*others, definition)

    @classmethod
    def build(
        cls,
        definitions: Iterable[JobDefinition],
        known_queues: Sequence[str],
        *,
        ledger_kept_ms: int = 3 * 86_400_000,
    ) -> Registry:
        """A registry of definitions that fit together.

        Raises:
            RegistrationError: naming every mistake with its file, line and remedy.
        """
        definitions = list(definitions)
        mistakes: list[str] = []
        seen: dict[str, JobDefinition] = {}
        for definition in definitions:
            at = definition.place
            mistakes += [f"{at}: {definition.name}: {text}" for text in definition.mistakes]
            if definition.queue not in known_queues:
                mistakes.append(
                    f"{at}: {definition.name}: unknown queue {definition.queue!r}; known are "
                    f"{', '.join(known_queues)}: use one of them, or add it to STREAMS_QUEUES"
                )
            if definition.unique_for_ms > ledger_kept_ms:
                mistakes.append(
                    f"{at}: {definition.name}: unique_for is longer than the ledger is kept: "
                    "shorten it, or raise STREAMS_LEDGER_KEPT"
                )
            other = seen.setdefault(definition.name, definition)
            if other is not definition:
                mistakes.append(
                    f"{at}: {definition.name} is handled at {other.place} already: "
                    "one payload has one handler, and one name one definition"
                )
        if mistakes:
            raise RegistrationError("\n".join(mistakes))
        return cls(definitions, known_queues)

    def by_name(self, name: str) -> JobDefinition | None:
        """The definition of a job name."""
        return self._by_name.get(name)

    def subscribers(self, event_type: str) -> tuple[JobDefinition, ...]:
        """The definitions that an event of this type starts."""
        return self._subscribers.get(event_type, ())

    def event_types(self) -> frozenset[str]:
        """The types of event that somebody subscribes to."""
        return frozenset(self._subscribers)

    def queues(self) -> tuple[str, ...]:
        """The queues of this worker."""
        return self._queues

    def definitions(self) -> tuple[JobDefinition, ...]:
        """All definitions."""
        return tuple(self._by_name.values())
