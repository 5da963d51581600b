"""Zones are found by name, and their changes where they are."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import pairwise, takewhile
from zoneinfo import ZoneInfo

import pytest

from streams.cron.zone import stretches, zone


@pytest.mark.parametrize(
    ("name", "advice"),
    [
        ("Europe/Berln", "did you mean Europe/Berlin"),
        ("europe/berlin", "did you mean Europe/Berlin"),
        ("berlin", "did you mean Europe/Berlin"),
        ("New York", "did you mean America/New_York"),
        ("Europe", 'write one as in "Europe/Berlin"'),
        ("../etc/passwd", 'write one as in "Europe/Berlin"'),
        ("", 'write one as in "Europe/Berlin"'),
        ("localtime", "another zone on each machine"),
    ],
)
def test_a_zone_that_does_not_exist_is_refused(name: str, advice: str) -> None:
    with pytest.raises(ValueError, match=advice):
        zone(name)


def test_what_is_no_name_is_refused() -> None:
    with pytest.raises(ValueError, match="no name of a time zone"):
        zone(ZoneInfo("UTC"))  # type: ignore[arg-type]


def test_stretches_end_where_the_clock_is_changed() -> None:
    begin, end = (int(datetime(year, 1, 1, tzinfo=UTC).timestamp()) for year in (2026, 2027))

    found = list(takewhile(lambda each: each.start < end, stretches(zone("Europe/Berlin"), begin)))

    changes = [
        datetime.fromtimestamp(each.start, UTC) for each in found if each.offset != each.before
    ]
    assert changes == [datetime(2026, 3, 29, 1, tzinfo=UTC), datetime(2026, 10, 25, 1, tzinfo=UTC)]
    assert [each.offset for each in found if each.start > begin] == [7_200, 3_600]
    assert all(one.end == other.start for one, other in pairwise(found))
    assert found[0].start <= begin <= found[0].end
