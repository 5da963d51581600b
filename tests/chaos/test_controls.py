"""Negative controls: a rule of the engine that is broken on purpose is found within 1,000 seeds."""

from __future__ import annotations

import pytest
from controls import CONTROLS

from streams.testing.batch import first_failure


@pytest.mark.parametrize("name", CONTROLS)
def test_a_broken_rule_is_found(name: str, monkeypatch: pytest.MonkeyPatch):
    CONTROLS[name](monkeypatch)
    found = first_failure(range(1_000))
    assert found is not None
    # An exception of the engine alone would say that the control is out of date.
    assert not all(fault.startswith("engine: ") for fault in found.faults)
