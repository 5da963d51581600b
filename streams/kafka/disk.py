"""A folder for the state of one worker process, locked for as long as the process lives."""

from __future__ import annotations

import asyncio
import fcntl
import logging
import os
from itertools import count
from pathlib import Path

from streams.errors import SettingsError

logger = logging.getLogger(__name__)

POLL = 0.1  # seconds between looks at a lock that a predecessor still holds


class StateFolder:
    """The folder, and its lock, which the system releases when the process dies."""

    def __init__(self, path: Path, lock: int) -> None:
        self.path = path
        self._lock = lock

    def release(self) -> None:
        """Let the next process have it."""
        os.close(self._lock)


async def claim_folder(root: Path, instance: str, session: float) -> StateFolder:
    """The first folder below `root` that no other process has, or the one of `instance`.

    A member with a name waits for its predecessor to die. On a new disk the predecessor may live
    elsewhere, so it waits until that one's session (in seconds) is certainly over.

    Raises:
        SettingsError: another process with this name goes on.
    """
    if not instance:
        for number in count():
            folder = _try_lock(root / str(number))
            if folder is not None:
                return folder
    path = root / f"instance-{instance}"
    is_new = not path.exists()
    loop = asyncio.get_running_loop()
    until = loop.time() + 3 * session
    while (folder := _try_lock(path)) is None:
        if loop.time() > until:
            raise SettingsError(
                f"another worker has STREAMS_INSTANCE={instance} here and goes on: "
                "stop it, or give this one another name"
            )
        await asyncio.sleep(POLL)
    if is_new:
        logger.info("no state of %s is here: waiting %.0f s for its last session", path, session)
        await asyncio.sleep(session)
    return folder


def _try_lock(path: Path) -> StateFolder | None:
    path.mkdir(parents=True, exist_ok=True)
    lock = os.open(path / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock)
        return None
    return StateFolder(path, lock)
