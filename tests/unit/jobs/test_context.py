"""What a handler's context answers: identity, and calls that make no sense."""

from __future__ import annotations

from typing import Any

import pytest

from streams.contracts import Event, JobPayload
from streams.jobs.context import JobContext


class SignedUp(Event, type="user.signed_up"):
    user_id: int


class Send(JobPayload, name="reports.send"):
    account: int


def context(
    *, name: str = "mail", key: str | None = None, id: str = "1", generation: int = 0, **more: Any
) -> Any:
    return JobContext(
        id=id, name=name, key=key, generation=generation, attempt=1, max_attempts=3,
        enqueued_at=1, started=1, deadline=2, **more,
    )  # fmt: skip


def test_the_idempotency_key_is_one_jobs_alone() -> None:
    alike = [
        context(key="a:b", id="c"),
        context(key="a", id="b:c"),
        context(key="", id="a:b:c"),
        context(key=None, id="a:b:c"),
        context(name="mail:a", key="b", id="c"),
    ]

    assert len({one.idempotency_key for one in alike}) == len(alike)


def test_the_idempotency_key_is_stable_and_says_whose_it_is() -> None:
    key = context(key="mail:a", id="1").idempotency_key

    assert key == context(key="mail:a", id="1", generation=3).idempotency_key
    assert key == "mail:0a6d719c30b4a527398dba73abad013c"


async def test_a_message_that_does_not_fit_its_call_is_refused() -> None:
    ctx = context()
    with pytest.raises(TypeError, match=r"Send is none: use ctx.enqueue"):
        await ctx.emit(Send(account=1))
    with pytest.raises(TypeError, match=r"SignedUp is none: use ctx.emit"):
        await ctx.enqueue(SignedUp(user_id=1))
    with pytest.raises(TypeError, match=r"takes a JobPayload, not dict"):
        await ctx.enqueue({"account": 1})
    with pytest.raises(TypeError, match=r"takes an instance: Send"):
        await ctx.enqueue(Send)


@pytest.mark.parametrize(
    ("call", "option", "said"),
    [
        ("enqueue", "countdown", 'write delay="10s"'),
        ("enqueue", "dely", "did you mean delay="),
        ("enqueue", "attempts", "not available in a handler yet"),
        ("enqueue", "tenant", "options here are id, delay"),
        ("emit", "delay", "an event is a fact"),
        ("emit", "tenant", "options here are id"),
    ],
)
async def test_an_unknown_option_is_refused(call: str, option: str, said: str) -> None:
    ctx = context()
    message = Send(account=1) if call == "enqueue" else SignedUp(user_id=1)

    with pytest.raises(TypeError) as refused:
        await getattr(ctx, call)(message, **{option: 1})

    assert str(refused.value).startswith(f"ctx.{call}({option}=...): ")
    assert said in str(refused.value)


def test_a_run_in_shadow_says_so_also_to_another_process() -> None:
    assert not context().shadow
    assert context(shadow=True).plain()["shadow"]
    assert context(replay="april").plain()["replay"] == "april"
