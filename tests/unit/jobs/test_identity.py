"""Identities: different jobs never share one, and the same job always has the same."""

from __future__ import annotations

import time
import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.jobs.identity import JobKey, child_id, fan_out_id, new_id

# A small alphabet of what could confuse a separator or a quote makes collisions likely to show.
TEXT = st.text(alphabet=':,"\\[]n0\x00é', max_size=6)
KEYS = st.builds(JobKey, name=TEXT, ordering_key=st.none() | TEXT | st.just("null"), id=TEXT)
CHILDREN = st.tuples(
    TEXT, st.integers(0, 3), TEXT, st.none() | TEXT, st.binary(max_size=4), st.integers(0, 3)
)


@given(KEYS)
def test_a_state_key_reads_back(key: JobKey) -> None:
    assert JobKey.decode(key.encode()) == key


@given(KEYS, KEYS)
def test_different_jobs_have_different_state_keys(one: JobKey, other: JobKey) -> None:
    assert (one.encode() == other.encode()) == (one == other)


@pytest.mark.parametrize(
    "wrong", [b"", b"x", b"{}", b'["a","b"]', b'["a",1,"c"]', b'[1,null,"c"]', b'["a",null,null]']
)
def test_other_bytes_are_no_state_key(wrong: bytes) -> None:
    with pytest.raises(ValueError):
        JobKey.decode(wrong)


@given(st.tuples(TEXT, TEXT, TEXT), st.tuples(TEXT, TEXT, TEXT))
def test_each_event_and_subscriber_has_its_own_job(
    one: tuple[str, str, str], other: tuple[str, str, str]
) -> None:
    assert (fan_out_id(*one) == fan_out_id(*other)) == (one == other)


def test_a_fan_out_id_begins_with_the_job_name_and_has_128_bits_at_least() -> None:
    name, _, digest = fan_out_id("welcome", "web", "1").rpartition(":")

    assert name == "welcome"
    assert len(bytes.fromhex(digest)) >= 16


@given(CHILDREN, CHILDREN)
def test_children_differ_when_anything_about_them_does(
    one: tuple[str, int, str, str | None, bytes, int],
    other: tuple[str, int, str, str | None, bytes, int],
) -> None:
    assert (child_id(*one) == child_id(*other)) == (one == other)


def test_ids_stay_the_same_from_version_to_version() -> None:
    # a deploy must find the jobs that the version before it made
    assert fan_out_id("welcome", "web", "1") == "welcome:4ecfc90dfc89269def5b2b8cc9dd2f5a"
    assert child_id("p", 0, "c", None, b"{}", 0) == "c:1403248247910be07b8f624539333f7a"


def test_new_ids_are_uuids_of_version_7_that_carry_the_time() -> None:
    before = time.time_ns() // 1_000_000
    made = [uuid.UUID(new_id()) for _ in range(1_000)]
    after = time.time_ns() // 1_000_000

    assert len(set(made)) == 1_000
    assert {one.version for one in made} == {7}
    assert {one.variant for one in made} == {uuid.RFC_4122}
    assert all(before <= one.int >> 80 <= after for one in made)
