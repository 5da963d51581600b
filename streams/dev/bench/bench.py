"""A bench: one round of it, and how its figures are to be read."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias, Union

from streams.errors import StreamsError

if TYPE_CHECKING:
    from streams.dev.bench.stage import Stage

Figures: TypeAlias = Mapping[str, Union[float, "Figures", None]]


class BenchFailed(StreamsError):
    """What was to be measured did not happen: a worker ended, or the topics do not add up."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bench:
    """`run` plays one round with so many jobs; its figures go through a median over rounds."""

    name: str
    how: str  # in one sentence, for whoever reads the figures
    jobs: int  # by default
    rounds: int  # by default; with these two it takes less than 50 s on two cores
    run: Callable[[Stage, int], Awaitable[Figures]]
