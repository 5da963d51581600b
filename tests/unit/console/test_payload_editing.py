"""A dead job's payload, changed by hand."""

from __future__ import annotations

import pytest

from streams.console.editing import kept
from streams.errors import PayloadInvalid
from streams.sensitive import MASK


def test_what_reads_as_masked_stays_what_it_was():
    before = {"to": 1, "card": "4111", "others": [{"iban": "A"}, {"iban": "B"}]}
    wanted = {"to": 2, "card": "***", "others": [{"iban": "***"}, {"iban": "C"}]}

    assert kept(wanted, before) == {
        "to": 2,
        "card": "4111",
        "others": [{"iban": "A"}, {"iban": "C"}],
    }


@pytest.mark.parametrize(
    "wanted",
    [
        {"others": [{"iban": "***"}]},  # which of the two?
        {"others": [{"iban": "***"}, {"iban": "***"}, {"iban": "***"}]},
        {"renamed": "***"},
        {"others": {"iban": "***"}},
    ],
)
def test_a_mask_that_could_stand_for_another_value_or_for_none_is_refused(wanted: object):
    before = {"card": "4111", "others": [{"iban": "A"}, {"iban": "B"}]}

    with pytest.raises(PayloadInvalid, match="write it out"):
        kept(wanted, before)


def test_what_is_masked_does_not_become_another_ones_when_a_list_is_put_in_another_order() -> None:
    # given two people, each with a card
    before = [{"name": "Ada", "card": "1111"}, {"name": "Bob", "card": "2222"}]
    # when they change places, then nobody is given the other one's
    with pytest.raises(PayloadInvalid, match="write it out"):
        kept([{"name": "Bob", "card": MASK}, {"name": "Ada", "card": MASK}], before)
    # and who is only called otherwise keeps what he had
    assert kept([{"name": "Ada", "card": MASK}, {"name": "Bea", "card": MASK}], before) == [
        {"name": "Ada", "card": "1111"},
        {"name": "Bea", "card": "2222"},
    ]
