"""Medians, percentiles, windows and what is interpolated: the arithmetic behind the figures."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.dev.bench.cpu import CpuSampler
from streams.dev.bench.latency import waits_ms
from streams.dev.bench.pace import plan
from streams.dev.bench.statistics import (
    Window,
    interpolate,
    medians,
    percentile,
    tidy,
    window_of,
)
from streams.errors import StreamsError


def test_a_window_counts_what_came_after_its_first_timestamp() -> None:
    # given a batch that was worked on before the window began, and 30 records in the 2 s after it
    window = window_of({1_000: 10, 2_000: 10, 3_000: 20})

    assert window == Window(first=1_000, last=3_000, records=30)
    assert window.per_second == 15


@pytest.mark.parametrize("stamps", [{}, {5: 10}])
def test_one_timestamp_gives_no_rate(stamps: dict[int, int]) -> None:
    with pytest.raises(StreamsError, match="give more of them with --jobs"):
        window_of(stamps)


def test_percentiles_are_values_that_occurred() -> None:
    values = [float(n) for n in range(100, 0, -1)]

    assert percentile(values, 50) == 50
    assert percentile(values, 99) == 99
    assert percentile(values, 100) == 100
    assert percentile([7.0], 99) == 7.0
    with pytest.raises(ValueError, match="no values"):
        percentile([], 50)


@given(st.lists(st.floats(0, 1e6), min_size=1), st.floats(1, 100))
def test_a_percentile_is_not_exceeded_by_its_share(values: list[float], percent: float) -> None:
    found = percentile(values, percent)

    assert found in values
    assert sum(value <= found for value in values) * 100 >= percent * len(values) * 0.999_999


def test_medians_go_through_what_is_nested_and_keep_what_is_missing() -> None:
    rounds = [
        {"rate": 1.0, "low": {"p50_ms": 9.0}, "ratio": 3.0},
        {"rate": 5.0, "low": {"p50_ms": 7.0}, "ratio": None},
        {"rate": 2.0, "low": {"p50_ms": 8.0}, "ratio": 3.0},
    ]

    assert medians(rounds) == {"rate": 2.0, "low": {"p50_ms": 8.0}, "ratio": None}


def test_figures_have_as_many_digits_as_they_deserve() -> None:
    figures = {"a": 40_123.7, "b": 24.38, "c": 2.456, "d": 0.12345, "e": None, "f": {"g": 99.96}}

    assert tidy(figures) == {
        "a": 40_124,
        "b": 24.4,
        "c": 2.46,
        "d": 0.123,
        "e": None,
        "f": {"g": 100.0},
    }


def test_between_two_samples_values_rise_evenly_and_outside_them_are_unknown() -> None:
    samples = [(10.0, 1.0), (20.0, 3.0), (30.0, 3.0)]

    assert [interpolate(samples, at) for at in (10, 15, 20, 25, 30)] == [1.0, 2.0, 3.0, 3.0, 3.0]
    assert interpolate(samples, 9.9) is None
    assert interpolate(samples, 30.1) is None
    assert interpolate([], 1) is None


def test_cpu_is_unknown_for_a_window_that_was_not_watched() -> None:
    assert CpuSampler(1).us_per_record(Window(first=1, last=2, records=1)) is None


def test_a_plan_is_even_and_waits_are_counted_from_it() -> None:
    # given five jobs a second for two seconds, each started 3 ms after its time
    planned = plan(0, 11, 5)
    ids = [str(n) for n in range(11)]
    started = {id_: when + 3_000_000 for id_, when in zip(ids, planned, strict=True)}

    assert planned[:3] == [0, 200_000_000, 400_000_000]
    # then those of the first second are left out
    assert waits_ms(ids, planned, started) == [3.0] * 6
    # unless there are no others
    assert waits_ms(ids[:3], planned[:3], started) == [3.0] * 3
