"""What handlers send and keep in shadow: taken, and let out to nobody."""

from __future__ import annotations

from collections.abc import Sequence

from streams.wire.envelope import Envelope, Record, decode
from streams.worker.ports import Append


class CapturedLog:
    """Stands where a worker has Kafka; there is no way on from here.

    It takes the records themselves, as the last step before a producer would: so whatever way a
    handler has of sending through its context, in whichever process, ends here.
    """

    def __init__(self) -> None:
        self._of: dict[str, dict[str, Envelope]] = {}  # by the id of who sent them, by their own

    async def append(self, records: Sequence[Append]) -> Sequence[int]:
        """See `Log.append`; what somebody sends whose run is over is dropped."""
        for record in records:
            envelope = decode(_record(record))
            sent = self._of.get(envelope.parent or "")
            if sent is not None:
                sent[envelope.id] = envelope  # the same again is the same
        return range(len(records))

    def begin(self, job: str) -> None:
        """The job of this id begins to run."""
        self._of[job] = {}

    def end(self, job: str) -> tuple[Envelope, ...]:
        """It has ended: what it has sent."""
        return tuple(self._of.pop(job).values())


class CapturedObjects:
    """Stands where a worker has object storage: keeps large results until they are taken."""

    def __init__(self) -> None:
        self._kept: dict[str, bytes] = {}

    async def put(self, path: str, value: bytes) -> None:
        """See `Objects.put`."""
        self._kept[path] = value

    async def get(self, path: str) -> bytes:
        """See `Objects.get`; it is gone then."""
        return self._kept.pop(path)

    async def sweep(self, prefix: str, before: int) -> int:
        """See `Objects.sweep`."""
        return 0


def _record(append: Append) -> Record:
    return Record(
        topic=append.topic,
        partition=0,
        offset=0,
        timestamp=0,
        key=append.key,
        value=append.value,
        headers=tuple(append.headers),
    )
