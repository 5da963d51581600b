"""Jobs that somebody was told are accepted: each must be in some topic, in whatever state."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

import orjson

from streams.audit.elsewhere import key_of
from streams.audit.fault import NOT_FOUND, Fault
from streams.audit.lives import Epochs
from streams.audit.ports import Topics
from streams.errors import SettingsError
from streams.jobs.identity import read_state_key
from streams.wire.topics import TopicNames


class Accepted:
    """A list of ids; a name may be with them, as an id may be of several jobs."""

    def __init__(self, lines: Iterable[str]) -> None:
        """Each line is an id, or JSON with `id` and perhaps `name`.

        Raises:
            SettingsError: a line of JSON has no id.
        """
        self._missing: dict[str, set[str]] = {}  # of each id the names, "" if any will do
        self.count = 0
        for line in filter(None, map(str.strip, lines)):
            id_, name = _read(line)
            names = self._missing.setdefault(id_, set())
            self.count += name not in names
            names.add(name)

    def __bool__(self) -> bool:
        """Whether any has not been found."""
        return bool(self._missing)

    def see(self, state_key: bytes) -> None:
        """This job is there."""
        name, _, id_ = read_state_key(state_key)
        names = self._missing.get(id_)
        if names is not None:
            names -= {name, ""}
            if not names:
                del self._missing[id_]

    def faults(self) -> Iterator[Fault]:
        """Those that were not found."""
        for id_, names in self._missing.items():
            for name in names:
                yield Fault(why=NOT_FOUND, name=name, id=id_)


async def look_for(
    accepted: Accepted, topics: Topics, names: TopicNames, partitions: Mapping[str, int]
) -> None:
    """Read all topics of these queues until every one of them is found."""
    for queue, count in partitions.items():
        for topic, is_of_state in (
            (names.queue(queue), False),
            (names.ledger(queue), True),
            (names.retry(queue), True),
        ):
            for partition in range(count):
                if not accepted:
                    return
                end = await topics.end(topic, partition)
                epochs = Epochs()
                async for records in topics.read(topic, partition, 0, end):
                    for record in records:
                        is_void = is_of_state and epochs.is_void(record)
                        key = None if is_void else key_of(record, is_of_state)
                        if key is not None:
                            _see(accepted, key)


def _see(accepted: Accepted, key: bytes) -> None:
    try:
        accepted.see(key)
    except ValueError:
        return  # others' records are no reason not to find ours


def _read(line: str) -> tuple[str, str]:
    if not line.startswith("{"):
        return line, ""
    try:
        told = orjson.loads(line)
        return str(told["id"]), str(told.get("name") or "")
    except (ValueError, KeyError) as error:
        raise SettingsError(f"neither an id nor JSON with one ({error}): {line[:80]}") from None
