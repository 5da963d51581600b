"""What an audit found wrong."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from streams.jobs.identity import read_state_key

NOWHERE = "below the commit of its queue, and neither the open table nor the ledger knows it"
TAKEN_FROM_QUEUE = "removed from the queue topic before it was taken over or settled"
TAKEN_FROM_RETRY = "its entry was removed from the retry topic, and the ledger does not have it"
TAKEN_FROM_LEDGER = "removed from the ledger topic before it was old enough"
SETTLED_TWICE = "settled twice, differently"
NEVER_ENQUEUED = "state knows it, and it never was in its queue"
NO_LETTER = "dead, and its letter is not in the dead-letter topic"
NO_LETTER_OF_BYTES = "undecodable, and its letter is not in the dead-letter topic"
NOT_FORWARDED = "forwarded to the partition of its key, and it did not get there"
NOT_READABLE = "a record of state that can't be read"
NOT_FOUND = "a client was told that it is accepted, and no topic knows it"
TRIMMED_TOO_FAR = "offsets were removed from the queue topic before they were acknowledged"
MADE_ANEW = "the topic ends before the last checkpoint: it was made anew or truncated"
ENTRY_GONE = (
    "its entry is gone from the retry topic, and neither a tombstone nor the ledger says why"
)
RETRY_TRIMMED = "the retry topic was trimmed, and nothing of ours does that"
LEDGER_TRIMMED = "the ledger topic was trimmed before its records were old enough"
NO_SUM = "the counts do not add up"


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One job that is unaccounted for, or what else can't be."""

    why: str
    queue: str = ""
    partition: int = -1
    key: bytes = b""  # of its state, if it is a job
    offset: int = -1  # of the record that shows it, in the queue if there is one
    detail: str = ""
    name: str = ""  # only if there is no key
    id: str = ""

    def plain(self) -> dict[str, Any]:
        """For programs."""
        name, ordering_key, id_ = self.job
        return {
            "why": self.why,
            "id": id_,
            "name": name,
            "key": ordering_key,
            "queue": self.queue,
            "partition": self.partition,
            "offset": self.offset,
            "detail": self.detail,
        }

    @property
    def job(self) -> tuple[str, str | None, str]:
        """Its name, ordering key and id; empty where it is none."""
        try:
            return read_state_key(self.key)
        except ValueError:
            return self.name, None, self.id or self.key.decode(errors="replace")
