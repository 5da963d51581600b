"""How many jobs of a definition may start in a while. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, Literal

from streams.durations import Duration, to_ms

PER_MIN_MS: Final = 1_000
PER_MAX_MS: Final = 24 * 60 * 60 * 1000


@dataclass(frozen=True, slots=True)
class RateLimit:
    """At most `max` starts in any window of `per`, as in `RateLimit(100, per="1m")`.

    It holds for the whole cluster. The window slides: however one is laid, it has no more starts.
    Each attempt is a start, those of retries too. `by="key"`: for each ordering key on its own.
    """

    max: int
    per: Duration = field(kw_only=True)
    by: Literal["key"] | None = field(default=None, kw_only=True)

    @property
    def per_ms(self) -> int:
        """The window, in milliseconds."""
        return to_ms(self.per)


def rate_mistakes(rate: RateLimit, *, is_keyed: bool, has_ledger: bool = True) -> list[str]:
    """What does not fit in a rate limit, a line for each."""
    if not isinstance(rate, RateLimit):
        return [f'rate_limit={rate!r}: write rate_limit=RateLimit(100, per="1m")']
    mistakes = []
    if not isinstance(rate.max, int) or isinstance(rate.max, bool) or rate.max < 1:
        mistakes.append(
            f"rate_limit: max={rate.max!r} is no number from 1; to start nothing for a while, use "
            "`streams queues pause`"
        )
    try:
        per_ms = rate.per_ms
    except (ValueError, TypeError) as error:
        mistakes.append(f"rate_limit: per={rate.per!r}: {error}")
    else:
        if not PER_MIN_MS <= per_ms <= PER_MAX_MS:
            mistakes.append(f'rate_limit: per={rate.per!r} is not between "1s" and "24h"')
    if rate.by not in (None, "key"):
        mistakes.append(f'rate_limit: by={rate.by!r}: write by="key", or leave it out')
    if rate.by == "key" and not is_keyed:
        mistakes.append('rate_limit: by="key" needs a key: name one in the contract (key="...")')
    if rate.by == "key" and not has_ledger:
        mistakes.append(
            'rate_limit: by="key" needs the ledger, which says when jobs of a key started: leave '
            "ledger=False out"
        )
    return mistakes
