"""Which of the jobs with one id is meant."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from streams.projection.job import Job


@dataclass(frozen=True, slots=True, kw_only=True)
class Which:
    """An id, and what tells its jobs apart, as far as that is said."""

    id: str
    name: str | None = None
    queue: str | None = None
    key: str | None = None  # with its scope; empty: the one without a key

    def fits(self, job: Job) -> bool:
        """Whether this one may be meant."""
        return (
            job.id == self.id
            and self.name in (None, job.name)
            and self.queue in (None, job.queue)
            and self.key in (None, job.row.key or "")
        )

    def told(self) -> str:
        """In words."""
        said = [self.id]
        if self.name is not None:
            said.append(f"named {self.name}")
        if self.queue is not None:
            said.append(f"in queue {self.queue}")
        if self.key is not None:
            said.append(f"with the key {self.key}" if self.key else "without a key")
        return " ".join(said)


def told_apart(job: Job, among: Iterable[Job]) -> dict[str, str]:
    """What an address has to say so that this one of the jobs with its id is meant."""
    own = _parts(job)
    others = [_parts(other) for other in among]
    return {part: value for part, value in own.items() if any(o[part] != value for o in others)}


def _parts(job: Job) -> dict[str, str]:
    return {"name": job.name, "queue": job.queue, "key": job.row.key or ""}


def how_to_choose(jobs: Sequence[Job]) -> str:
    """What to add to an address that means several jobs, in words."""
    values: dict[str, set[str | None]] = {
        "?name=": {job.name for job in jobs},
        "?queue=": {job.queue for job in jobs},
        "?key=": {job.row.key for job in jobs},
    }
    enough = [part for part, its in values.items() if len(its) == len(jobs)]
    differ = [part for part, its in values.items() if len(its) > 1]
    told = " or ".join(enough) or " and ".join(differ)
    empty = "; an empty ?key= is the one without a key" if None in values["?key="] else ""
    return f"add {told} of the one that is meant{empty if '?key=' in told else ''}"
