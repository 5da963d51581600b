"""The topics: what they are called and how each must be configured."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

MAX_RECORD_BYTES: Final = 2 * 1024 * 1024
# Of a queue: an open entry or a dead letter wraps the record, and has to fit into its own topic.
MAX_JOB_BYTES: Final = 5 * 256 * 1024
MAX_PAYLOAD_BYTES: Final = 900 * 1024

_UNLIMITED = {"retention.ms": "-1", "retention.bytes": "-1"}
# Small segments, or the active one never closes and nothing is ever compacted.
_COMPACTS = {
    "segment.bytes": str(64 * 1024 * 1024),
    "segment.ms": str(60 * 60 * 1000),
    "min.compaction.lag.ms": str(60 * 60 * 1000),
    # How long a reader that was away still finds the tombstones: see `worker/recovery.py`.
    "delete.retention.ms": str(24 * 60 * 60 * 1000),
}
_OURS = {"max.message.bytes": str(MAX_RECORD_BYTES)}
_JOBS = {"max.message.bytes": str(MAX_JOB_BYTES)}


class Role(StrEnum):
    """What a topic is for."""

    EVENT = "event"
    QUEUE = "queue"
    RETRY = "retry"
    LEDGER = "ledger"
    COMMANDS = "commands"
    DEAD = "dead"
    CONTROL = "control"
    WORKERS = "workers"
    LIMITS = "limits"
    ACTIONS = "actions"


CONFIGS: Final[Mapping[Role, Mapping[str, str]]] = {
    Role.EVENT: {},  # other services own these: whatever they decided stands
    Role.QUEUE: {"cleanup.policy": "delete", **_UNLIMITED, **_JOBS},
    Role.COMMANDS: {"cleanup.policy": "delete", **_UNLIMITED, **_OURS},
    Role.RETRY: {"cleanup.policy": "compact", **_COMPACTS, **_OURS},
    # DeleteRecords is refused where a topic is only compacted, hence both policies.
    Role.LEDGER: {"cleanup.policy": "compact,delete", **_UNLIMITED, **_COMPACTS, **_OURS},
    Role.DEAD: {"cleanup.policy": "compact", **_COMPACTS, **_OURS},
    Role.CONTROL: {"cleanup.policy": "compact", **_COMPACTS, **_OURS},
    Role.WORKERS: {"cleanup.policy": "compact", **_COMPACTS, **_OURS},
    # Times are the broker's; kept for longer than any window is.
    Role.LIMITS: {
        "cleanup.policy": "delete",
        "message.timestamp.type": "LogAppendTime",
        "retention.ms": str(48 * 60 * 60 * 1000),
        "retention.bytes": "-1",
        **_OURS,
    },
    Role.ACTIONS: {"cleanup.policy": "delete", **_UNLIMITED, **_OURS},
}


@dataclass(frozen=True, slots=True)
class TopicNames:
    """The names of all topics under one prefix, which is prepended as it stands."""

    prefix: str = ""

    def event(self, event_type: str) -> str:
        """Where events of this type are."""
        return f"{self.prefix}{event_type}"

    def queue(self, queue: str) -> str:
        """Where jobs of this queue arrive."""
        return f"{self.prefix}jobs.{queue}"

    def retry(self, queue: str) -> str:
        """Every job that was taken from its queue and is not over."""
        return f"{self.prefix}jobs.{queue}.retry"

    def ledger(self, queue: str) -> str:
        """What became of the jobs of this queue that are over."""
        return f"{self.prefix}jobs.{queue}.ledger"

    def commands(self, queue: str) -> str:
        """What operators and services ask of this queue's jobs."""
        return f"{self.prefix}jobs.{queue}.commands"

    @property
    def dead(self) -> str:
        """Dead letters."""
        return f"{self.prefix}jobs.dead"

    @property
    def control(self) -> str:
        """Decisions that every worker reads."""
        return f"{self.prefix}jobs.control"

    @property
    def workers(self) -> str:
        """Which workers are there."""
        return f"{self.prefix}jobs.workers"

    @property
    def limits(self) -> str:
        """What workers ask for of rates, in the order of the broker: see `worker/rates.py`."""
        return f"{self.prefix}jobs.limits"

    @property
    def actions(self) -> str:
        """What operators did."""
        return f"{self.prefix}jobs.actions"


@dataclass(frozen=True, slots=True, kw_only=True)
class TopicSpec:
    """How one topic must be."""

    name: str
    partitions: int
    role: Role
    config: dict[str, str] = field(default_factory=dict)
    replication: int = 1  # -1: the broker's default

    @property
    def any_partitions(self) -> bool:
        """Whether a topic that exists may have another number of partitions."""
        return self.role is Role.EVENT


def specs(
    names: TopicNames,
    queues: Iterable[str],
    event_types: Iterable[str],
    partitions: int = 8,
    replication: int = 1,
) -> list[TopicSpec]:
    """All topics of an application, in the order in which they are best created."""

    def spec(name: str, role: Role, count: int = partitions) -> TopicSpec:
        return TopicSpec(
            name=name,
            partitions=count,
            role=role,
            config=dict(CONFIGS[role]),
            replication=replication,
        )

    wanted = [
        spec(names.control, Role.CONTROL, 1),
        spec(names.workers, Role.WORKERS, 1),
        spec(names.limits, Role.LIMITS, 1),
        spec(names.actions, Role.ACTIONS, 1),
        spec(names.dead, Role.DEAD),
    ]
    for queue in sorted(set(queues)):
        wanted += [
            spec(names.ledger(queue), Role.LEDGER),
            spec(names.retry(queue), Role.RETRY),
            spec(names.commands(queue), Role.COMMANDS),
            spec(names.queue(queue), Role.QUEUE),
        ]
    wanted += [spec(names.event(kind), Role.EVENT) for kind in sorted(set(event_types))]
    return wanted
