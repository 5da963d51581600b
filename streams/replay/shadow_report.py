"""What a replay in shadow found: counts, and some of the differences whole. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from streams.replay.comparing import Account, Difference, Ended, fields_of

FIELDS_KEPT: Final = 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared:
    """One job, beside what is on record of it."""

    job: str
    id: str
    key: str | None
    event: str  # its id
    place: str  # of the event: topic, partition and offset
    time: int  # of its record, in ms since the epoch
    now: Account | None = None  # None: it did not run
    differences: tuple[Difference, ...] = ()
    unrecorded: str = ""  # why there is nothing to compare with
    sent: tuple[str, ...] = ()  # names of what it would have enqueued and emitted
    sent_unknown: int = 0  # of these, what nobody can compare any more


@dataclass(slots=True)
class Counts:
    """Of jobs with one name."""

    same: int = 0
    different: int = 0
    unrecorded: int = 0


@dataclass(slots=True)
class ShadowReport:
    """At most `shown_max` differences are kept, those that are found first; of the jobs that have
    nothing beside them as many, and before others those that fail."""

    shown_max: int
    ignored: frozenset[str] = frozenset()  # fields
    events: int = 0
    unreadable: int = 0  # events
    by_job: dict[str, Counts] = field(default_factory=dict)
    by_what: Counter[str] = field(default_factory=Counter)  # differences, by what differs
    why_unrecorded: Counter[str] = field(default_factory=Counter)
    ended_unrecorded: Counter[str] = field(default_factory=Counter)  # how these end now
    sent: Counter[str] = field(default_factory=Counter)  # what was held back, by its name
    sent_unknown: int = 0  # of that, what nobody can compare any more
    shown: list[Compared] = field(default_factory=list)
    fields: set[str] = field(default_factory=set)  # that were seen, until all of `ignored` were
    _alone_failed: list[Compared] = field(default_factory=list)
    _alone_else: list[Compared] = field(default_factory=list)

    @property
    def shown_alone(self) -> list[Compared]:
        """Some of those that ran and have nothing to be compared with."""
        return [*self._alone_failed, *self._alone_else][: self.shown_max]

    @property
    def jobs(self) -> int:
        """All that ran."""
        return self.same + self.different + self.unrecorded

    @property
    def same(self) -> int:
        """Those that came to what they came to then."""
        return sum(each.same for each in self.by_job.values())

    @property
    def different(self) -> int:
        """Those that did not."""
        return sum(each.different for each in self.by_job.values())

    @property
    def unrecorded(self) -> int:
        """Those of which nobody knows."""
        return sum(each.unrecorded for each in self.by_job.values())

    @property
    def compared(self) -> int:
        """Those that stood beside a record."""
        return self.same + self.different

    @property
    def never_seen(self) -> list[str]:
        """Fields that are ignored, and that nothing has which was compared."""
        return sorted(self.ignored - self.fields) if self.compared else []

    def note_fields(self, *accounts: Account) -> None:
        """Note which fields there are; once those that are ignored were seen, that is enough."""
        for each in accounts if self.ignored - self.fields else ():
            found = fields_of(each)
            room = FIELDS_KEPT - len(self.fields)
            self.fields |= found if len(found) <= room else (found & self.ignored)

    def begin(self, jobs: Sequence[str]) -> None:
        """Jobs with these names run; one that has none is told, too."""
        self.by_job.update({job: Counts() for job in jobs})

    def take(self, one: Compared) -> None:
        """Count one job."""
        counts = self.by_job.setdefault(one.job, Counts())
        self.sent.update(one.sent)
        self.sent_unknown += one.sent_unknown
        if one.unrecorded:
            counts.unrecorded += 1
            self.why_unrecorded[one.unrecorded] += 1
            if one.now is not None:
                self.ended_unrecorded[str(one.now.ended)] += 1
                is_failed = one.now.ended is Ended.FAILED
                kept = self._alone_failed if is_failed else self._alone_else
                if len(kept) < self.shown_max:
                    kept.append(one)
        elif one.differences:
            counts.different += 1
            self.by_what.update(each.what for each in one.differences)
            if len(self.shown) < self.shown_max:
                self.shown.append(one)
        else:
            counts.same += 1
