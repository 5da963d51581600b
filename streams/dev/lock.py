"""One process at a time in a folder; the kernel lets go of the lock when its holder ends."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from streams.errors import StreamsError


@contextmanager
def only_one(file: Path, what: str) -> Iterator[None]:
    """Keep others out as long as this is entered; `what` names us to them.

    Raises:
        StreamsError: another process is in.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("a+") as held:
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            held.seek(0)
            holder = held.read().strip() or "unknown"
            raise StreamsError(
                f"{what} runs in {file.parent} already (process {holder}): end it, or set "
                "STREAMS_DATA_DIR to another folder"
            ) from None
        held.truncate(0)
        held.write(str(os.getpid()))
        held.flush()
        yield
