"""What lists are asked for: by their addresses, and by forms that act on what they show."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, Query
from pydantic import BaseModel, ConfigDict, StringConstraints

from streams.console.api.shared import read_moment
from streams.console.pages.render import link
from streams.projection.filter import Filter, read_states
from streams.wire.times import show_time

Word = Annotated[str, StringConstraints(max_length=200)]
Name = Annotated[str, StringConstraints(max_length=500)]
Moment = Annotated[str, StringConstraints(max_length=64, strip_whitespace=True)]
Typed = Annotated[str, StringConstraints(max_length=500, strip_whitespace=True)]


class Asked(BaseModel):
    """Which jobs or letters; what is empty fits all."""

    model_config = ConfigDict(frozen=True)

    state: Word = ""
    queue: Name = ""
    name: Name = ""
    key: Typed = ""
    error: Name = ""
    q: Annotated[str, StringConstraints(max_length=200, strip_whitespace=True)] = ""
    since: Moment = ""  # in its state since then: how long ago, or a time
    before: Moment = ""
    order: Word = ""
    cursor: Word = ""

    def filter(self) -> Filter:
        """What it asks for.

        Raises:
            BadFilter: a state is none.
            PayloadInvalid: a time is none.
        """
        return Filter(
            states=read_states(self.state),
            queue=self.queue or None,
            name=self.name or None,
            key=self.key or None,
            error=self.error or None,
            text=self.q or None,
            since=read_moment("since", self.since or None),
            until=read_moment("before", self.before or None),
        )

    def link(self, path: str = "/ui/jobs", **changes: str) -> str:
        """The address of a list that differs in this."""
        told = {name: getattr(self, name) for name in Asked.model_fields}
        return link(path, **{**told, "cursor": "", **changes})

    @property
    def fields(self) -> dict[str, str]:
        """What a form sends that acts on all of the list as it is now, not on a page of it."""
        wanted = self.filter()
        told = {name: getattr(self, name) for name in _OF_ALL}
        times = {"since": wanted.since, "before": wanted.until}
        return told | {name: "" if at is None else show_time(at) for name, at in times.items()}

    @property
    def is_narrow(self) -> bool:
        """Whether anything but a state is asked for."""
        return bool(self.queue or self.name or self.is_narrower)

    @property
    def is_narrower(self) -> bool:
        """Whether anything is asked for by which jobs are not counted."""
        return bool(self.key or self.error or self.q or self.since or self.before)


_OF_ALL = tuple(name for name in Asked.model_fields if name not in ("order", "cursor"))


def _in_address(asked: Annotated[Asked, Query()]) -> Asked:
    return asked


InAddress = Annotated[Asked, Depends(_in_address)]
