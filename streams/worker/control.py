"""What every worker reads of the control topic: commits of event partitions, owners of queues."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterable

import orjson

from streams.errors import SettingsError
from streams.values import immutable
from streams.wire.envelope import Record
from streams.worker.ports import Append, Log

_COMMIT = b"commit:"
_OWNER = b"owner:"
_PAUSE = b"pause:"
_LIMITS = b"limits"


def pause_record(
    queue: str, since: int | None, reason: str = "", *, job: str = ""
) -> tuple[bytes, bytes | None]:
    """Key and value that pause a queue, or one job name of it; None resumes it.

    `since` is in milliseconds since the epoch.
    """
    value = None if since is None else orjson.dumps({"since": since, "reason": reason})
    return _PAUSE + (f"{queue}:{job}" if job else queue).encode(), value


def read_pause(key: bytes, value: bytes | None) -> tuple[tuple[str, str], Pause] | None:
    """The queue and job name ("": all of it) that a record pauses; None if it pauses none."""
    if not key.startswith(_PAUSE) or value is None:
        return None
    try:
        told = orjson.loads(value)
        pause = Pause(since=int(told["since"]), reason=str(told["reason"]))
        queue, _, job = key[len(_PAUSE) :].decode().partition(":")
        return (queue, job), pause
    except (ValueError, KeyError, TypeError):
        return None


@immutable(frozen=True, slots=True, kw_only=True)
class Pause:
    """Since when nothing of a queue, or of a job of it, starts (ms since the epoch), and why."""

    since: int
    reason: str


def commit_key(group: str, topic: str, partition: int) -> bytes:
    """The key of an event partition's commit; each group fans events out for itself."""
    return _COMMIT + f"{group}:{topic}:{partition}".encode()


class Control:
    """The control topic as it was at the last `refresh`; it has one partition."""

    def __init__(self, log: Log, topic: str) -> None:
        self._log = log
        self._topic = topic
        self._values: dict[bytes, bytes] = {}
        self._claims: dict[bytes, tuple[int, str]] = {}  # by queue: first claim and its group
        self.schedules_version = 0  # rises with each record about a schedule
        self._position = 0
        self._reading = asyncio.Lock()

    async def refresh(self) -> None:
        """Read what was written since."""
        async with self._reading:
            async for records in self._log.read(self._topic, 0, self._position):
                for record in records:
                    self.take(record)
                self._position = records[-1].offset + 1

    def take(self, record: Record) -> None:
        """Note what one record says."""
        key = record.key or b""
        if record.value is None:
            self._values.pop(key, None)
        else:
            self._values[key] = record.value
        if key.startswith(b"cron"):
            self.schedules_version += 1
        if key.startswith(_OWNER):
            self._note_claim(key, record.value, record.offset)

    def queues(self) -> set[str]:
        """The queues that some worker group has claimed."""
        return {key[len(_OWNER) :].decode().rpartition(":")[0] for key in self._claims}

    def paused(self) -> dict[tuple[str, str], Pause]:
        """The queues of which nothing starts, and those of which one job does not."""
        found = (read_pause(key, value) for key, value in self._values.items())
        return dict(each for each in found if each is not None)

    def named(self, prefix: bytes) -> dict[str, bytes]:
        """The values of all keys that begin so, by the rest of the key."""
        return {
            key[len(prefix) :].decode(errors="replace"): value
            for key, value in self._values.items()
            if key.startswith(prefix)
        }

    def snapshot_of_limits(self) -> bytes | None:
        """What was given of all rates up to some position in the log of asks."""
        return self._values.get(_LIMITS)

    async def keep_snapshot_of_limits(self, snapshot: bytes) -> None:
        """Keep another one.

        Raises:
            AppendFailed: it may not be kept.
        """
        await self.write([(_LIMITS, snapshot)])

    async def write(self, records: Iterable[tuple[bytes, bytes | None]]) -> None:
        """Keep some values, or remove them.

        Raises:
            AppendFailed: it may not be done.
        """
        await self._log.append([Append(self._topic, 0, key, value) for key, value in records])
        await self.refresh()

    def commit(self, key: bytes) -> int:
        """A commit that was kept; 0 without one."""
        try:
            return int(self._values.get(key, b"0"))
        except ValueError:  # a foreign record: reading again from the start loses nothing
            return 0

    async def claim(self, queues: Collection[str], group: str) -> None:
        """Make these queues this group's; the first group that claims a queue has it.

        Raises:
            SettingsError: a queue is another group's.
        """
        await self.refresh()
        # Who is refused one queue does not start: it must not keep the others from their group.
        self._refuse_others(queues, group)
        # A key for each group, so that compaction keeps the first claim with its offset.
        claims = [
            Append(self._topic, 0, _OWNER + f"{queue}:{group}".encode(), group.encode())
            for queue in queues
            if self.owner(queue) is None
        ]
        if claims:
            await self._log.append(claims)
            await self.refresh()
            self._refuse_others(queues, group)  # another one may have been first

    def _refuse_others(self, queues: Collection[str], group: str) -> None:
        taken = [
            f"queue {queue!r} belongs to worker group {owner!r}: leave it out of STREAMS_SERVES, "
            f"or start this worker with STREAMS_GROUP={owner}"
            for queue in queues
            if (owner := self.owner(queue)) not in (None, group)
        ]
        if taken:
            raise SettingsError("; ".join(taken))

    def owner(self, queue: str) -> str | None:
        """The group that a queue belongs to; None while nobody has claimed it."""
        claims = [
            claim
            for key, claim in self._claims.items()
            if key[len(_OWNER) :].decode().rpartition(":")[0] == queue
        ]
        return min(claims)[1] if claims else None

    def _note_claim(self, key: bytes, value: bytes | None, offset: int) -> None:
        if value is None:
            self._claims.pop(key, None)
        else:
            self._claims.setdefault(key, (offset, value.decode(errors="replace")))
