"""When a definition whose attempts fail stops for a while. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field

from streams.durations import Duration, to_ms


@dataclass(frozen=True, slots=True)
class Breaker:
    """Starts nothing for `pause` once this share of the last `of` attempts has failed.

    Then one job probes: if it succeeds all go on, else the pause is doubled, up to `at_most`.
    `Breaker(0.5, of=20, pause="30s")`.
    """

    failures: float
    of: int = field(default=20, kw_only=True)
    pause: Duration = field(default="30s", kw_only=True)
    at_most: Duration = field(default="10m", kw_only=True)


def breaker_mistakes(breaker: Breaker) -> list[str]:
    """What does not fit in a breaker, a line for each."""
    if not isinstance(breaker, Breaker):
        return [f'breaker={breaker!r}: write breaker=Breaker(0.5, of=20, pause="30s")']
    mistakes = []
    share = breaker.failures
    if not isinstance(share, (int, float)) or isinstance(share, bool) or not 0 < share <= 1:
        mistakes.append(f"breaker: {share!r} is no share of attempts: write one above 0, up to 1")
    if not isinstance(breaker.of, int) or isinstance(breaker.of, bool) or breaker.of < 1:
        mistakes.append(f"breaker: of={breaker.of!r} is no number from 1")
    times = {}
    for name, value in (("pause", breaker.pause), ("at_most", breaker.at_most)):
        try:
            times[name] = to_ms(value)
        except (ValueError, TypeError) as error:
            mistakes.append(f"breaker: {name}={value!r}: {error}")
            continue
        if times[name] < 1:
            mistakes.append(f"breaker: {name}={value!r} is no time to wait")
    if len(times) == 2 and times["at_most"] < times["pause"]:
        mistakes.append(
            f"breaker: at_most={breaker.at_most!r} is shorter than pause={breaker.pause!r}: "
            "write a longer at_most=, up to which the pause is doubled"
        )
    return mistakes
