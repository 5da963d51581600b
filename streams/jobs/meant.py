"""Which of the names that there are was meant by one that is not: what to say to whoever wrote it.

Pure.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from difflib import get_close_matches
from typing import Final

from streams.jobs.registry import Registry

_TOLD_MAX: Final = 3
_LIKE: Final = 0.8


def meant_by(name: str, known: Iterable[str]) -> list[str]:
    """The known names that this may be short for, else those of which it may be a slip."""
    names = sorted(known)
    end = f".{_plain(name)}"
    short = [each for each in names if f".{_plain(each)}".endswith(end)]
    if short:
        return short[:_TOLD_MAX]
    whole = {_plain(each): each for each in names}
    near = get_close_matches(_plain(name), whole, n=1, cutoff=_LIKE)
    if near or "." in name:
        return [whole[each] for each in near]
    last = {_plain(each.rpartition(".")[2]): each for each in reversed(names)}
    return [last[each] for each in get_close_matches(_plain(name), last, n=1, cutoff=_LIKE)]


def advice(name: str, known: Collection[str], *, else_: str = "names are") -> str:
    """ "did you mean app.handlers.remind?", or all names there are if none is like this one."""
    if meant := meant_by(name, known):
        return f"did you mean {' or '.join(meant)}?"
    return f"{else_}: {', '.join(sorted(known)) or 'none'}"


def no_job(registry: Registry, name: str) -> str:
    """Why no job of this name can be enqueued by the handlers that are here."""
    definition = registry.by_name(name)
    if definition is not None and definition.event_type is not None:
        return f"{name} is started by events of type {definition.event_type}"
    known = [each.name for each in registry.definitions() if each.trigger == "payload"]
    return f"no handler takes jobs named {name!r}; {advice(name, known)}"


def _plain(name: str) -> str:
    return name.replace("-", "_").lower()
