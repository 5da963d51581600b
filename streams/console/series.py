"""How many jobs and attempts ended, over time: for charts and for small ones in tables. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from streams.projection.numbers import Ended
from streams.projection.store import SLOT_MS

POINTS: Final = 60


@dataclass(slots=True)
class Curve:
    """One number for each step of time."""

    completed: list[int]
    retried: list[int]  # attempts that failed, and are tried again
    dead: list[int]

    @property
    def attempts(self) -> int:
        """All that ended well or not."""
        return sum(self.completed) + self.failures

    @property
    def failures(self) -> int:
        """Attempts that did not end well."""
        return sum(self.retried) + sum(self.dead)


@dataclass(slots=True)
class Curves:
    """For all queues together, and for each."""

    times: list[int]  # of each step's begin, in seconds since the epoch
    step_ms: int
    all: Curve
    of: dict[str, Curve] = field(default_factory=dict)

    def rate(self, queue: str, last: int = 5) -> float:
        """Jobs a minute that were completed, over the last whole steps."""
        curve = self.of.get(queue)
        if curve is None:
            return 0.0
        whole = curve.completed[-last - 1 : -1]
        return sum(whole) * 60_000 / (self.step_ms * max(1, len(whole)))

    def chart(self) -> dict[str, Any]:
        """What the chart of the overview draws."""
        return {
            "times": self.times,
            "series": [
                {
                    "label": "completed",
                    "color": "completed",
                    "fill": True,
                    "values": self.all.completed,
                },
                {"label": "to be retried", "color": "delayed", "values": self.all.retried},
                {"label": "failed", "color": "failed", "values": self.all.dead},
            ],
        }


def step_of(span_ms: int) -> int:
    """How long a step is, in milliseconds."""
    return max(SLOT_MS, span_ms // POINTS)


def curves(ended: Iterable[Ended], now: int, span_ms: int, queues: Sequence[str]) -> Curves:
    """What has ended in the last `span_ms`, in `POINTS` steps."""
    step = step_of(span_ms)
    first = (now - span_ms) // step + 1
    number = now // step - first + 1

    def empty() -> Curve:
        return Curve([0] * number, [0] * number, [0] * number)

    found = Curves(
        times=[(first + at) * step // 1000 for at in range(number)],
        step_ms=step,
        all=empty(),
        of={queue: empty() for queue in queues},
    )
    for each in ended:
        at = each.at // step - first
        if not 0 <= at < number:
            continue
        for curve in (found.all, found.of.setdefault(each.queue, empty())):
            if each.state == "retrying":
                curve.retried[at] += each.number
            elif each.state == "dead":
                curve.dead[at] += each.number
            elif each.state == "completed":
                curve.completed[at] += each.number
    return found


def spark(values: Sequence[int], least: int = 1, width: int = 120, height: int = 28) -> str:
    """The points of a small line, as high as its highest value, or `least`."""
    top = max((*values, least, 1))
    step = width / max(1, len(values) - 1)
    return " ".join(
        f"{at * step:.1f},{height - 1 - value / top * (height - 2):.1f}"
        for at, value in enumerate(values)
    )
