"""What an audit says is explained, word by word."""

from __future__ import annotations

from pathlib import Path

import pytest

from streams.audit import fault

OPERATIONS = Path(__file__).parents[3] / "docs" / "operations.md"
SAID = {name: said for name, said in vars(fault).items() if name.isupper()}


@pytest.mark.parametrize("name", SAID)
def test_all_that_it_says_is_in_its_table(name: str):
    table = OPERATIONS.read_text(encoding="utf-8").split("| what it says | what to do |")[1]
    assert SAID[name] in table
