"""Patterns are read as they are meant, or refused with the place of the fault."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.cron.pattern import FIELDS, MACROS, parse


def _numbers(pattern: str, field: int) -> set[int]:
    read = parse(pattern)
    values = (read.seconds, read.minutes, read.hours, read.days, read.months, read.weekdays)
    return set(values[field].numbers)


@pytest.mark.parametrize(
    ("pattern", "field", "numbers"),
    [
        ("0,30 * * * *", 1, {0, 30}),
        ("*/20 * * * *", 1, {0, 20, 40}),
        ("10-40/10 * * * *", 1, {10, 20, 30, 40}),
        ("* 9-11,20 * * *", 2, {9, 10, 11, 20}),
        ("0 0 1 Jan,MAR-may *", 4, {1, 3, 4, 5}),
        ("0 0 * * mon-fri", 5, {1, 2, 3, 4, 5}),
        ("0 0 * * 7", 5, {0}),
        ("0 0 * * 5-7", 5, {5, 6, 0}),
        ("0 0 * * fri-sun", 5, {5, 6, 0}),
        ("0 0 * * sun-tue", 5, {0, 1, 2}),
        ("0 0 * * */2", 5, {0, 2, 4, 6}),
        ("0 0 * * *", 0, {0}),
        ("*/30 0 0 * * *", 0, {0, 30}),
        ("  0\t7 * *  * ", 2, {7}),
    ],
)
def test_a_field_is_what_is_written(pattern: str, field: int, numbers: set[int]) -> None:
    assert _numbers(pattern, field) == numbers


def test_days_may_be_told_by_their_place_in_the_month() -> None:
    pattern = parse("0 0 1,L,lw * fri#2,5L,sunL")

    assert pattern.days.numbers == {1}
    assert pattern.days.last_day
    assert pattern.days.last_workday
    assert pattern.weekdays.nth == {(5, 2), (5, -1), (0, -1)}


@pytest.mark.parametrize(("macro", "meant"), MACROS.items())
def test_names_of_whole_patterns(macro: str, meant: str) -> None:
    assert parse(macro) == parse(macro.upper()) == parse(meant)


@pytest.mark.parametrize(
    ("pattern", "marked", "text"),
    [
        ("60 * * * *", "60", "60 is no minute: write 0-59 (minute, column 1)"),
        ("0 24 * * *", "24", "24 is no hour: write 0-23 (hour, column 3)"),
        ("0 0 0 * *", "0", "0 is no day of month: write 1-31 (day of month, column 5)"),
        ("0 0 1 13 *", "13", "13 is no month: write 1-12 or jan-dec (month, column 7)"),
        ("0 0 * * 1,8", "8", "8 is no day of week: write 0-7 or sun-sat (day of week, column 11)"),
        ("61 0 0 * * *", "61", "61 is no second: write 0-59 (second, column 1)"),
        ("? * * * *", "?", 'write "*" for any'),
        ("0 0 * * monday", "monday", 'write "mon"'),
        ("0 9-5 * * *", "9-5", "goes backwards: write 9-23,0-5"),
        ("0 0 * * fri-mon", "fri-mon", "write fri-sat,sun-mon"),
        ("0 0 * * 5-0", "5-0", "write 5-7"),
        ("*/90 * * * *", "90", 'Every("90m")'),
        ("*/60 * * * *", "60", "so that */60 is 0 alone: write 0"),
        ("0 0 * 3-5/3 *", "3", "so that 3-5/3 is 3 alone: write 3"),
        ("*/0 * * * *", "0", "is no step"),
        ("5/10 * * * *", "5/10", "write 5-59/10"),
        ("1,,2 * * * *", ",", "a minute is missing"),
        ("1- * * * *", " ", "a minute is missing"),
        ("٣ * * * *", "٣", "is no minute"),
        ("0 0 31 feb *", "31", "no feb has a day 31, so it would never run: write a day up to 29"),
        ("0 0 31 4,jun *", "31", "no apr or jun has a day 31"),
        ("0 0 30-31 2 */2", "30-31", "no feb has a day 30"),
        ("0 0 15w * *", "15w", 'write "LW"'),
        ("0 0 L-3 * *", "l", 'write "L" alone'),
        ("0 0 * * L", "l", "fri#2"),
        ("0 0 * * fri#6", "6", "write 1-5, or friL"),
        ("0 0 * * 1-5#2", "1-5#2", "write one day"),
        ("* * *", "", "3 fields are too few: write five fields"),
        ("0", "", "1 field is too few"),
        ("", "", "there is nothing in it"),
        ("0 0 1 1 * * 2026", "2026", "7 fields are too many"),
        ("@dayly", "@dayly", "did you mean @daily?"),
        ("@reboot", "@reboot", "a schedule has times only"),
        ("CRON_TZ=Europe/Berlin 0 7 * * *", "CRON_TZ=Europe/Berlin", "write tz="),
    ],
)
def test_a_fault_is_shown_where_it_is(pattern: str, marked: str, text: str) -> None:
    with pytest.raises(ValueError, match=r"column \d+") as refused:
        parse(pattern)

    said, shown, carets = str(refused.value).split("\n")
    assert text in said
    assert shown == f"    {pattern}"
    at, length = carets.index("^") - 4, carets.count("^")
    assert f"column {at + 1})" in said
    assert pattern[at : at + length].lower() == marked.lower()


def test_what_is_no_text_is_refused() -> None:
    with pytest.raises(ValueError, match="write five fields"):
        parse(5)  # type: ignore[arg-type]


@given(st.integers(0, 5), st.data())
def test_a_number_out_of_range_is_found_in_its_field(place: int, data: st.DataObject) -> None:
    field = FIELDS[place]
    wrong = data.draw(st.integers(field.high + 1, 999))
    fields = ["*"] * 6
    fields[place] = f"{field.low},{wrong}"
    column = 2 * place + len(f"{field.low},") + 1

    with pytest.raises(ValueError, match=f"{field.name}, column {column}\\)"):
        parse(" ".join(fields))


@given(st.text(alphabet="0123456789*/-,#lwLW?@ adfjmnosu\t\n", max_size=30))
def test_whatever_is_written_is_read_or_refused_with_its_place(text: str) -> None:
    try:
        parse(text)
    except ValueError as refused:
        said, shown, carets = str(refused).split("\n")
        assert "column" in said
        assert len(shown) == len(text) + 4
        assert len(carets) <= len(shown) + 1
