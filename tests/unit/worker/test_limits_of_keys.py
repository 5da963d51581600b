"""Which limits are remembered, and which are asked whether they have room."""

from __future__ import annotations

from dataclasses import replace

import pytest
from parts import attempt, definition_of

from streams import JobPayload, RateLimit, job
from streams.jobs.definition import JobDefinition
from streams.worker.attempt import Attempt
from streams.worker.limit import KEYS_NEAR_MAX, Limit
from streams.worker.limits import Limits
from streams.worker.slots import Slots

KEYS = 2_000


class Call(JobPayload, name="call"):
    pass


@job(rate_limit=RateLimit(1, per="1h", by="key"))
async def rated(payload: Call) -> None: ...


@job(key_concurrency=1, ordering="none")
async def counted(payload: Call) -> None: ...


@job(fair_by="tenant")
async def fair(payload: Call) -> None: ...


class Holder:
    """A partition with jobs in its open table that limits hold."""

    def let_in(self, limit: str, count: int) -> None: ...


def of_key(definition: JobDefinition, key: str, id: str = "1") -> Attempt:
    made = attempt(definition, id, None)
    made.job = replace(made.job, ordering_key=key)
    return made


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The limits that were gone through."""
    names: list[str] = []
    ask = Limit.ask

    def noted(limit: Limit) -> object:
        names.append(limit.name)
        return ask(limit)

    monkeypatch.setattr(Limit, "ask", noted)
    return names


@pytest.mark.parametrize("is_known", [True, False])
def test_many_keys_that_wait_are_not_gone_through_at_each_start(
    asked: list[str], is_known: bool
) -> None:
    definition, limits, holder = definition_of(rated), Limits(lambda: 10**12), Holder()
    for n in range(KEYS):  # as a partition does that is opened
        name = f"rate:default:{definition.name}:k{n}"
        limits.hold(name, holder, definition if is_known else None, f"k{n}", "default")
        limits.ask()
    for _ in range(KEYS):
        limits.ask()
    assert len(asked) == KEYS
    for n in range(KEYS):
        limits.brought(f"rate:default:{definition.name}:k{n}", holder, has_more=False)
    limits.ask()
    assert not limits._stored and not limits._to_ask
    assert not any(group.short for group in limits._groups.values())


def test_a_key_with_room_is_asked_though_others_take_up_all_that_may_wait_near() -> None:
    definition, limits, holder = definition_of(counted), Limits(lambda: 10**12), Holder()
    slots = Slots(KEYS, None, limits)
    first = {}
    # given keys of which one job runs, and so many wait near that no more of any key may
    for n in range(KEYS_NEAR_MAX // 3):
        running = first[n] = of_key(definition, f"k{n}")
        slots.take(running)
        for m in range(4):
            slots.wait(of_key(definition, f"k{n}", f"w{m}"))
    last = of_key(definition, "last")
    slots.take(last)
    assert slots.next() is None and slots.turned_away
    name = f"key:{definition.name}:last"
    limits.hold(name, holder, definition, "last", "default")
    assert not limits.ask()
    # when the one ends that runs of a key with more in the table
    slots.give_back(last)
    # then these are asked for
    assert limits.ask() == [(holder, name, 1)]
    # and one that has no room is asked for some once others wait no more
    limits.brought(name, holder, has_more=True)
    slots.take(of_key(definition, "last", "2"))
    assert not limits.ask()
    slots.give_back(first[0])
    assert slots.next() is not None
    assert limits.ask() == [(holder, name, 1)]


def test_tenants_of_which_nobody_waits_are_forgotten_whatever_they_are_called() -> None:
    definition, limits = definition_of(fair), Limits()
    slots = Slots(0, None, limits)
    waiting = []
    for n in range(20):
        one = attempt(definition, str(n), None)
        payload = b'{"tenant":"urn:tenant:%d"}' % n
        one.envelope = replace(one.envelope, payload=payload)
        slots.wait(one)
        waiting.append(one)
    for n, one in enumerate(waiting):
        if n % 2:
            assert slots.remove(one)  # cancelled
    while slots.next() is not None:
        pass
    assert not limits._limits
    assert len(limits._groups) == 1
