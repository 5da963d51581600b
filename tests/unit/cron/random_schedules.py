"""Schedules at random, for property tests."""

from __future__ import annotations

from datetime import UTC, datetime

from hypothesis import strategies as st

from streams.cron.schedule import Cron, Every

zone_names = st.sampled_from(
    ["UTC", "Europe/Berlin", "Australia/Lord_Howe", "America/St_Johns", "Asia/Tehran"]
)

_BEGIN, _END = (int(datetime(year, 1, 1, tzinfo=UTC).timestamp() * 1_000) for year in (2009, 2030))
_CHANGES = [
    int(datetime(*day, tzinfo=UTC).timestamp() * 1_000)
    for day in [(2026, 3, 28, 22), (2026, 10, 24, 22), (2026, 4, 4, 12), (2010, 11, 7, 1)]
]
moments = st.integers(_BEGIN, _END) | st.builds(
    lambda change, later: change + later, st.sampled_from(_CHANGES), st.integers(0, 6 * 3_600_000)
)


def _field(low: int, high: int, *others: str) -> st.SearchStrategy[str]:
    number = st.integers(low, high)
    term = st.one_of(
        number.map(str),
        st.tuples(number, number).map(lambda pair: f"{min(pair)}-{max(pair)}"),
        *map(st.just, others),
    )
    terms = st.lists(term, min_size=1, max_size=3).map(",".join)
    return st.one_of(st.just("*"), st.integers(2, (high - low) // 2).map("*/{}".format), terms)


_five = st.tuples(
    _field(0, 59),
    _field(0, 4) | _field(0, 23),
    _field(1, 28, "L", "LW"),
    _field(1, 12, "mar", "oct"),
    _field(0, 7, "sun", "fri#2", "sunL"),
).map(" ".join)
cron_patterns = _five | st.tuples(_field(0, 59), _five).map(" ".join)

schedules = st.builds(lambda pattern, tz: Cron(pattern, tz=tz), cron_patterns, zone_names) | (
    st.builds(
        lambda seconds, start: Every(f"{seconds}s", start=start),
        st.integers(1, 100_000),
        st.none() | st.just(datetime(2020, 1, 1, 0, 0, 7, tzinfo=UTC)),
    )
)
