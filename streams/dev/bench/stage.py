"""Where benches play: a broker, and for each measurement topics and a folder of its own."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from streams.dev.bench.worker import BenchWorker
from streams.dev.broker import LocalBroker
from streams.errors import StreamsError
from streams.wire.admin import apply_topics, open_admin
from streams.wire.topics import Role, TopicNames, TopicSpec, specs

PARTITIONS: Final = 8
QUEUES: Final = ("critical", "default", "bulk")

# By the broker when it has them, not by whoever wrote them: the figures are taken from these.
_STAMPED: Final = {"message.timestamp.type": "LogAppendTime"}
_BY_THE_BROKER: Final = frozenset({Role.LEDGER, Role.QUEUE, Role.RETRY})

_JOINED: Final = {"group.initial.rebalance.delay.ms": "2000"}  # Kafka's default is 3 s


@dataclass(frozen=True, slots=True, kw_only=True)
class Ground:
    """One measurement's own topics and folder, on which nothing has happened yet."""

    bootstrap: str
    prefix: str
    folder: Path

    @property
    def names(self) -> TopicNames:
        """Its topics."""
        return TopicNames(self.prefix)

    @property
    def group(self) -> str:
        """The consumer group of its workers."""
        return f"{self.prefix}workers"

    async def make_topics(
        self, event_types: Iterable[str] = (), others: Iterable[TopicSpec] = ()
    ) -> None:
        """Create what a worker wants; what a queue has bears the broker's timestamps."""
        wanted = specs(self.names, QUEUES, event_types, PARTITIONS)
        async with open_admin(self.bootstrap) as admin:
            await apply_topics(
                admin,
                [
                    *(
                        replace(spec, config={**spec.config, **_STAMPED})
                        if spec.role in _BY_THE_BROKER
                        else spec
                        for spec in wanted
                    ),
                    *others,
                ],
            )

    def changelog(self, name: str) -> TopicSpec:
        """A changelog of plain Faust's, so that its records bear the broker's timestamps too."""
        config = {"cleanup.policy": "compact", **_STAMPED}
        return TopicSpec(name=name, partitions=PARTITIONS, role=Role.LEDGER, config=config)

    def worker(self, **settings: str) -> BenchWorker:
        """A worker for these topics; `name` tells its folder and log from another's."""
        return BenchWorker(self.bootstrap, self.prefix, self.folder, **settings)


class Stage:
    """What a bench is given; `tell` says on standard error what goes on."""

    def __init__(
        self,
        bootstrap: str,
        folder: Path,
        prefix: str,
        tell: Callable[[str], None],
        broker_pid: int | None = None,
        pending: int = 0,
    ) -> None:
        self.bootstrap = bootstrap
        self.tell = tell
        self.broker_pid = broker_pid  # of a broker of ours
        self.pending = pending  # jobs that wait for a year while `delay` measures
        self._folder = folder
        self._prefix = prefix
        self._grounds = 0

    def ground(self) -> Ground:
        """A new one."""
        self._grounds += 1
        folder = self._folder / str(self._grounds)
        folder.mkdir(parents=True)
        return Ground(
            bootstrap=self.bootstrap, prefix=f"{self._prefix}{self._grounds}.", folder=folder
        )

    @contextmanager
    def joined(self) -> Iterator[Stage]:
        """Where workers that start together join their group together.

        As Kafka does by default, a broker of its own waits a moment before it assigns anything to a
        new group. The one that benches share does not, and a second worker would join while the
        first one is at work.
        """
        if self.broker_pid is None:  # the broker is somebody's, who may know why
            yield self
            return
        self._grounds += 1
        folder = self._folder / str(self._grounds)
        with LocalBroker(folder / "broker", properties=_JOINED) as broker:
            yield Stage(broker.bootstrap, folder, self._prefix, self.tell, broker.pid)

    async def delete_topics(self) -> None:
        """Leave nothing on a broker that is not ours."""
        logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
        with suppress(StreamsError):
            async with open_admin(self.bootstrap) as admin:
                found = [topic["topic"] for topic in await admin.describe_topics()]
                if ours := [topic for topic in found if topic.startswith(self._prefix)]:
                    await admin.delete_topics(ours)
