"""PromQL, put together: which series a dashboard shows, and what is usually asked of them. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

EVERY: Final = "$__rate_interval"
"""For how long back a rate looks: Grafana's variable, four scrapes at least."""


@dataclass(frozen=True, slots=True)
class Scope:
    """What all queries of a dashboard choose, by its variables."""

    matchers: str

    def of(self, name: str, *matchers: str, **labels: str) -> str:
        """The series of this name within the scope, which these matchers and labels narrow."""
        exact = (f'{label}="{value}"' for label, value in labels.items())
        return f"{name}{{{','.join((self.matchers, *matchers, *exact))}}}"


def total(series: str, *by: str) -> str:
    """Added up, for each combination of these labels."""
    return f"sum by ({', '.join(by)}) ({series})" if by else f"sum({series})"


def highest(series: str, *by: str) -> str:
    """The highest, for each combination of these labels."""
    return f"max by ({', '.join(by)}) ({series})" if by else f"max({series})"


def rate(counter: str) -> str:
    """How much it grows in a second."""
    return f"rate({counter}[{EVERY}])"


def grown(counter: str, within: str) -> str:
    """By how much it has grown within that time."""
    return f"increase({counter}[{within}])"


def grown_from_nothing(counter: str, within: str) -> str:
    """The same, for one whose series may begin with what happened: `increase` does not see that."""
    return f"({counter} unless {counter} offset {within}) or {grown(counter, within)}"


def quantile(of: float, buckets: str, *by: str) -> str:
    """That part of all was below this, in what the histogram's buckets have gained."""
    return f"histogram_quantile({of}, {total(rate(buckets), 'le', *by)})"


def share(part: str, whole: str) -> str:
    """The part of the whole, between 0 and 1; nothing where there is no whole."""
    return f"clamp_max(({part}) / (({whole}) > 0), 1)"


def deriv(gauge: str, within: str) -> str:
    """How much a gauge grows in a second, as it did within that time."""
    return f"deriv({gauge}[{within}])"
