"""Purges at random moments of a schedule: as operators send them, and as events that cancel do."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from random import Random
from typing import TYPE_CHECKING, Final

from streams.jobs.identity import JobKey
from streams.testing.purges import Purge
from streams.testing.workload import KEYS, QUEUE
from streams.wire.commands import Command, encode_command
from streams.worker.ports import Append

if TYPE_CHECKING:
    from streams.testing.world import World

NAMES: Final = ("keyed", "keyed", "loose", "child", "gathered", "react", "unknown")
LATE_MS: Final = (0, 0, 0, 5, 300, 3_000)  # from the look at where the queue ends to the command
MOST: Final = 4


def has_purges(seed: int) -> bool:
    """Whether jobs are purged in its schedule; what other seeds mean is what it always was."""
    return seed // 8 % 4 == 3


class Purging:
    """Puts purges on the world's clock; what it draws does not come from the schedule's numbers."""

    def __init__(self, world: World, rng: Random) -> None:
        self._world = world
        self._rng = rng
        self._sent = 0

    def arrange(self, began: int, until: int) -> None:
        """Put some of them on the world's clock; `until` is in milliseconds from the start."""
        for _ in range(self._rng.randint(1, MOST)):
            self._world.clock.call_at(began + self._rng.randint(0, until), self._purge)

    def _purge(self) -> None:
        rng = self._rng
        kind = rng.choice(("queue", "name", "name", "key", "key", "key"))
        if kind == "key":  # of whom an event says something
            name = rng.choice(("keyed", "keyed", "react"))
            key = f"{name}:{rng.randrange(KEYS)}"
            now = self._world.clock.now()
            sent_by = now - rng.choice((0, 0, 1, 2_000))
            places = [self._world.partition_of(key.encode())]
            self._send(JobKey(name=name, ordering_key=key, id=""), places, sent_by)
        else:
            name = "" if kind == "queue" else rng.choice(NAMES)
            everywhere = range(self._world.log.partitions)
            self._send(JobKey(name=name, ordering_key=None, id=""), everywhere, 0)

    def _send(self, meant: JobKey, places: Iterable[int], sent_by: int) -> None:
        world, rng = self._world, self._rng
        topic = world.names.queue(QUEUE)
        for place in places:
            until = len(world.log.topics[(topic, place)])
            write = partial(self._write, meant, place, until, sent_by)
            when = world.clock.now() + rng.choice(LATE_MS)
            world.clock.call_at(when, write)
            if sent_by and rng.random() < 0.2:  # the event was read once more
                world.clock.call_at(when + rng.randint(0, 20_000), write)

    def _write(self, meant: JobKey, place: int, until: int, sent_by: int) -> None:
        world = self._world
        self._sent += 1
        reason = f"purge {self._sent}"
        interrupts = bool(sent_by)
        command = Command(
            kind="purge",
            job=meant,
            reason=reason,
            until=until,
            sent_by=sent_by,
            interrupts=interrupts,
        )
        world.note(f"{reason} of {meant.name or 'all'} {meant.ordering_key or ''}, below {until}")
        record_key, value = encode_command(command)
        offset = world.log.write(Append(world.names.commands(QUEUE), place, record_key, value))
        world.oracle.purge(
            Purge(
                reason=reason,
                place=(world.names.queue(QUEUE), place),
                offset=offset,
                name=meant.name,
                key=meant.ordering_key,
                until=until,
                sent_by=sent_by,
                interrupts=interrupts,
            )
        )
