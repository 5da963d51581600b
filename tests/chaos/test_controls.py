"""Negative controls: a rule of the engine that is broken on purpose is found within 1,000 seeds."""

from __future__ import annotations

import pytest
from controls import CONTROLS
from due_controls import DUE_CONTROLS
from purge_controls import PURGE_CONTROLS
from sum_controls import SUM_CONTROLS

from streams.testing.batch import first_failure
from streams.testing.purging import has_purges
from streams.testing.rescheduling import has_rescheduling
from streams.testing.simulator import Report


@pytest.mark.parametrize("name", CONTROLS)
def test_a_broken_rule_is_found(name: str, monkeypatch: pytest.MonkeyPatch):
    CONTROLS[name](monkeypatch)
    assert_found(first_failure(range(1_000)))


@pytest.mark.parametrize("name", PURGE_CONTROLS)
def test_a_broken_rule_of_purges_is_found(name: str, monkeypatch: pytest.MonkeyPatch):
    PURGE_CONTROLS[name](monkeypatch)
    assert_found(first_failure(filter(has_purges, range(4_000))))


@pytest.mark.parametrize("name", DUE_CONTROLS)
def test_a_broken_rule_of_due_times_is_found(name: str, monkeypatch: pytest.MonkeyPatch):
    DUE_CONTROLS[name](monkeypatch)
    assert_found(first_failure(filter(has_rescheduling, range(4_000))))


@pytest.mark.parametrize("name", SUM_CONTROLS)
def test_a_broken_rule_of_what_is_counted_is_found(name: str, monkeypatch: pytest.MonkeyPatch):
    SUM_CONTROLS[name](monkeypatch)
    assert_found(first_failure(range(1_000)))


def assert_found(found: Report | None) -> None:
    assert found is not None
    # An exception of the engine alone would say that the control is out of date.
    assert not all(fault.startswith("engine: ") for fault in found.faults)
