"""What indexes have in the place of long texts: 64 bits."""

from __future__ import annotations

import re
from hashlib import blake2b
from typing import Final

_TIMED: Final = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}")
_MINUTE_BITS: Final = 16  # of a UUIDv7's milliseconds: about a minute
_REST_BITS: Final = 31


def hash_of(text: str) -> int:
    """64 bits of a text, as SQLite can keep them."""
    digest = blake2b(text.encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big", signed=True)


def hash_of_id(id: str) -> int:
    """64 bits of a job's id. Those made within a minute are beside each other, if they say when.

    So what happens to jobs that are new is in few places of the index, however many it has.
    """
    whole = hash_of(id)
    if len(id) != 36 or not _TIMED.fullmatch(id):
        return whole
    minute = int(id[:8] + id[9:13], 16) >> _MINUTE_BITS
    return minute << _REST_BITS | whole & (1 << _REST_BITS) - 1


def bare(key: str) -> str:
    """An ordering key without its scope."""
    return key.partition(":")[2] or key
