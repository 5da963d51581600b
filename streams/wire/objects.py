"""Object storage for what is too large for a record: a directory, S3, or any of obstore's."""

from __future__ import annotations

import asyncio
import contextlib
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol

from streams.errors import ObjectsUnavailable

if TYPE_CHECKING:
    from obstore.store import ObjectStore

RESULTS: Final = "results/"  # the prefix of the results of jobs
_NOT_INSTALLED: Final = (
    "large results are in object storage, which needs the package obstore: "
    "pip install 'jobstreams[objects]'"
)


class Objects(Protocol):
    """Where objects are kept, by path. All of it raises an OSError if it can't be done now."""

    async def put(self, path: str, value: bytes) -> None:
        """Keep an object, in place of one of the same path; it is durable on return."""
        ...

    async def get(self, path: str) -> bytes:
        """The object of this path; FileNotFoundError: there is none."""
        ...

    async def sweep(self, prefix: str, before: int) -> int:
        """Remove what was kept under a prefix before a time (ms since the epoch); how many."""
        ...


class StoredObjects:
    """Objects in a store of obstore's; what blocks runs in threads."""

    def __init__(self, store: ObjectStore) -> None:
        self._store = store

    async def put(self, path: str, value: bytes) -> None:
        """See `Objects.put`."""
        await self._do(self._store.put, path, value)

    async def get(self, path: str) -> bytes:
        """See `Objects.get`."""
        found: bytes = await self._do(lambda: bytes(self._store.get(path).bytes()))
        return found

    async def sweep(self, prefix: str, before: int) -> int:
        """See `Objects.sweep`."""
        limit = datetime.fromtimestamp(before / 1000, UTC)
        removed: int = await self._do(self._sweep, prefix, limit)
        return removed

    def _sweep(self, prefix: str, limit: datetime) -> int:
        removed = 0
        for found in self._store.list(prefix=prefix):
            old = [each["path"] for each in found if each["last_modified"] < limit]
            if old:
                with contextlib.suppress(FileNotFoundError):  # another worker was quicker
                    self._store.delete(old)
                removed += len(old)
        return removed

    async def _do(self, call: Any, *args: Any) -> Any:
        # Its coroutines abort the process if it exits while one of them is under way.
        from obstore.exceptions import BaseError

        try:
            return await asyncio.to_thread(call, *args)
        except OSError:
            raise
        except BaseError as error:
            first = str(error).strip().splitlines()[0]
            raise OSError(f"object storage: {first}") from error


def open_objects(where: str) -> StoredObjects:
    """Open a store: a directory, which is made if it is not there, or a URL as of obstore.

    `s3://bucket/prefix`, `gs://...`, `az://...`, `file:///...`: credentials and endpoints come from
    the environment (`AWS_ACCESS_KEY_ID`, `AWS_ENDPOINT`, ...).

    Raises:
        ObjectsUnavailable: it makes no sense, or obstore is not installed.
    """
    try:
        from obstore.exceptions import BaseError
        from obstore.store import LocalStore, from_url
    except ImportError:
        raise ObjectsUnavailable(_NOT_INSTALLED) from None
    path = where.removeprefix("file://")
    try:
        if "://" in path:
            return StoredObjects(from_url(path))
        return StoredObjects(LocalStore(Path(path).absolute(), mkdir=True))
    except (BaseError, OSError, ValueError) as error:
        first = str(error).strip().splitlines()[0]
        raise ObjectsUnavailable(
            f"{where!r} can't be opened as object storage: {first}; give a directory, or a URL "
            "such as s3://bucket/prefix"
        ) from error
