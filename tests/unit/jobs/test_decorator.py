"""`@job` reads a handler from its signature, leaves it a function, and collects mistakes."""

from __future__ import annotations

import functools
from collections.abc import AsyncIterator, Callable
from typing import TYPE_CHECKING, Annotated, Any

import pytest
from pydantic import Field, ValidationError

from streams.contracts import Event, JobPayload
from streams.errors import PayloadInvalid, StreamsError
from streams.jobs.context import JobContext
from streams.jobs.decorator import job
from streams.jobs.definition import JobDefinition
from streams.jobs.retry import Fixed, Retry

if TYPE_CHECKING:
    from decimal import Decimal

    from streams.jobs.context import JobContext as Context


class Signed(Event, type="user.signed_up", key="user_id"):
    user_id: int


class Report(JobPayload, name="report", queue="bulk", key="account", key_scope="account"):
    account: int


class Typeless(Event):
    a: int


class Nameless(JobPayload):
    a: int


def definition(handler: Callable[..., Any]) -> JobDefinition:
    found = handler.__job_definition__  # type: ignore[attr-defined]
    assert isinstance(found, JobDefinition)
    return found


def only_mistake(handler: Callable[..., Any]) -> str:
    [mistake] = definition(handler).mistakes
    return mistake


async def test_an_event_subscribes_and_the_function_stays_a_function() -> None:
    @job(queue="critical")
    async def welcome(user: Signed, ctx: JobContext) -> int:
        return user.user_id

    found = definition(welcome)

    assert (found.trigger, found.event_type, found.queue) == ("event", "user.signed_up", "critical")
    assert found.name == f"{__name__}.{welcome.__qualname__}"
    assert (found.runs_in, found.ctx_parameter, found.ordering) == ("loop", "ctx", "strict")
    assert found.file == __file__
    assert found.mistakes == ()
    assert await welcome(Signed(user_id=7), None) == 7  # type: ignore[arg-type]
    assert not hasattr(welcome, "enqueue")


def test_a_payload_is_handled_under_the_name_and_queue_of_its_contract() -> None:
    @job
    def send(report: Report) -> int:
        return report.account

    found = definition(send)

    assert (found.name, found.queue, found.key_scope) == ("report", "bulk", "account")
    assert (found.trigger, found.event_type, found.runs_in) == ("payload", None, "thread")
    assert found.ctx_parameter is None
    assert found.ordering_key(Report(account=3)) == "3"
    assert found.call(Report(account=3), None) == 3


async def test_plain_parameters_make_a_payload_of_their_own() -> None:
    @job(name="resize", key="image_id", queue="bulk")
    async def resize(image_id: int, width: Annotated[int, Field(ge=1)] = 640) -> tuple[int, int]:
        return image_id, width

    found = definition(resize)
    payload = found.payload_type.model_validate({"image_id": 7})

    assert found.mistakes == ()
    assert (found.name, found.queue, found.plain) == ("resize", "bulk", True)
    assert found.ordering_key(payload) == "7"
    assert await found.call(payload, None) == (7, 640)
    with pytest.raises(ValidationError):  # constraints of the signature are the payload's
        found.payload_type.model_validate({"image_id": 7, "width": 0})


async def test_plain_parameters_and_a_context_in_between() -> None:
    @job
    async def resize(image_id: int, ctx: JobContext, width: int = 640) -> Any:
        return ctx, image_id, width

    found = definition(resize)

    assert set(found.payload_type.model_fields) == {"image_id", "width"}
    assert await found.call(found.payload_type.model_validate({"image_id": 1}), "c") == (
        "c",
        1,
        640,
    )


def test_no_parameters_at_all() -> None:
    @job
    def tick() -> str:
        return "tock"

    found = definition(tick)

    assert (found.mistakes, found.ordering) == ((), "none")
    assert found.call(found.payload_type(), None) == "tock"


def test_a_context_is_known_by_type_or_by_name_and_need_not_be_imported() -> None:
    @job
    def by_type(user: Signed, context: JobContext) -> None: ...

    @job
    def by_name(user: Signed, ctx) -> None: ...  # type: ignore[no-untyped-def]

    @job
    def for_type_checkers(user: Signed, ctx: Context) -> Decimal: ...  # type: ignore[empty-body]

    contexts = [definition(fn).ctx_parameter for fn in (by_type, by_name, for_type_checkers)]

    assert contexts == ["context", "ctx", "ctx"]
    assert definition(for_type_checkers).mistakes == ()


def test_types_inside_a_function_are_found() -> None:
    class Local(Event, type="local"):
        a: int

    @job
    def handle(event: Local) -> None: ...

    assert definition(handle).payload_type is Local


def test_defaults_are_those_of_the_table_and_options_win() -> None:
    @job
    def plain(n: int) -> None: ...

    @job(retry=Retry(attempts=5), timeout="30s", expires="1h", unique_for="2h", ordering="none")
    def told(user: Signed) -> None: ...

    left, given = definition(plain), definition(told)

    assert left.retry == Retry() and left.retry.attempts == 3
    assert (left.timeout_ms, left.expires_ms, left.unique_for_ms) == (300_000, None, 86_400_000)
    assert left.ordering == "none"
    assert given.retry.attempts == 5
    assert (given.timeout_ms, given.expires_ms) == (30_000, 3_600_000)
    assert (given.unique_for_ms, given.ordering) == (7_200_000, "none")


def test_unknown_options_are_type_errors() -> None:
    with pytest.raises(TypeError, match="atempts"):
        job(atempts=3)  # type: ignore[call-overload]


@pytest.mark.parametrize("thing", ["name", functools.partial(print), object()])
def test_what_is_no_function_is_refused(thing: Any) -> None:
    with pytest.raises(TypeError, match="@job decorates functions"):
        job(thing)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"queue": "bulk"}, "queue='bulk': Report goes to 'bulk'"),
        ({"name": "other"}, "name='other' contradicts Report"),
        ({"key": "account"}, "key='account' is for plain parameters"),
        ({"timeout": "0s"}, "timeout='0s' must be longer than nothing"),
        ({"timeout": 30}, "timeout: 30 is no duration"),
        ({"expires": "0s"}, "expires='0s'"),
        ({"unique_for": "a day"}, "unique_for: 'a day' is no duration"),
        ({"retry": Retry(attempts=0)}, "attempts=0: at least 1"),
        ({"retry": Retry(backoff=Fixed("soon"))}, "backoff: delay: 'soon'"),
        ({"ordering": "fifo"}, "ordering='fifo'"),
        ({"concurrency": 0}, "concurrency=0: write how many may run at a time, from 1"),
        ({"key_concurrency": 2}, 'key_concurrency needs ordering="none"'),
        (
            {"key_concurrency": 5, "concurrency": 2, "ordering": "none"},
            "key_concurrency=5 is more than concurrency=2 lets run",
        ),
        ({"cluster_concurrency": 0}, "cluster_concurrency=0: write how many may run"),
        (
            {"cluster_concurrency": 2, "concurrency": 5},
            "concurrency=5 is more than cluster_concurrency=2 lets run",
        ),
    ],
)
def test_options_that_make_no_sense_wait_for_start_up(options: dict[str, Any], said: str) -> None:
    @job(**options)
    def send(report: Report) -> None: ...

    assert said in only_mistake(send)


def test_strict_ordering_needs_a_key() -> None:
    @job(ordering="strict")
    def plain(n: int) -> None: ...

    assert 'ordering="strict" needs a key' in only_mistake(plain)


def test_a_key_must_be_a_parameter() -> None:
    @job(key="image")
    def resize(image_id: int) -> None: ...

    assert "key='image' is not one of its parameters (image_id)" in only_mistake(resize)


def test_a_contract_must_say_what_it_is_called() -> None:
    @job
    def on_event(event: Typeless) -> None: ...

    @job
    def on_payload(payload: Nameless) -> None: ...

    assert "Typeless has no type" in only_mistake(on_event)
    assert "Nameless has no name" in only_mistake(on_payload)


def test_a_type_for_type_checkers_alone_cannot_be_a_payload() -> None:
    @job
    def pay(amount: Decimal) -> None: ...

    assert "'Decimal' of 'amount' can't be resolved" in only_mistake(pay)
    assert "import it at the top of the module" in only_mistake(pay)


def test_signatures_that_cannot_be_called() -> None:
    class Opaque: ...

    @job
    def stars(*numbers: int) -> None: ...

    @job
    def keywords(**numbers: int) -> None: ...

    @job
    def positional(n: int, /) -> None: ...

    @job
    def keyword_only(*, report: Report) -> None: ...

    @job
    def more(user: Signed, other: int) -> None: ...

    @job
    def hidden(ordering_key: str) -> None: ...

    @job
    def opaque(thing: Opaque) -> None: ...

    assert "takes *numbers" in only_mistake(stars)
    assert "takes **numbers" in only_mistake(keywords)
    assert "'n' is positional only" in only_mistake(positional)
    assert "'report' is keyword only" in only_mistake(keyword_only)
    assert "takes 'other' beside its payload" in only_mistake(more)
    assert "'ordering_key' can't be a field" in only_mistake(hidden)
    assert "its parameters make no payload" in only_mistake(opaque)


def test_a_generator_would_run_nothing() -> None:
    @job
    async def stream(n: int) -> AsyncIterator[int]:
        yield n

    assert "it yields" in only_mistake(stream)


def test_every_mistake_is_kept() -> None:
    @job(queue="bulk", timeout="0s", retry=Retry(attempts=0))
    def send(report: Report) -> None: ...

    assert len(definition(send).mistakes) == 3


async def test_enqueue_checks_its_fields_and_asks_for_a_client(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    @job
    async def resize(image_id: int, width: int = 640) -> None: ...

    sent: list[Any] = []

    class Client:
        async def enqueue(self, payload: Any) -> str:
            sent.append(payload)
            return "handle"

    enqueue = resize.enqueue  # type: ignore[attr-defined]
    with pytest.raises(StreamsError, match="no JobClient is open here"):
        await enqueue(image_id=7)
    monkeypatch.setattr("streams.client.current", Client)

    assert await enqueue(image_id=7) == "handle"
    assert sent == [definition(resize).payload_type.model_validate({"image_id": 7})]
    assert await enqueue(sent[0]) == "handle"
    with pytest.raises(PayloadInvalid, match="widht") as unknown:
        await enqueue(image_id=7, widht=3)
    assert unknown.value.field == "widht"
    with pytest.raises(PayloadInvalid) as wrong:
        await enqueue(image_id="x")
    assert wrong.value.field == "image_id"
    with pytest.raises(PayloadInvalid, match="by name"):
        await enqueue(7)


def test_a_payload_is_built_without_a_client() -> None:
    @job(name="resize", key="image_id")
    async def resize(image_id: int, width: int = 640) -> None: ...

    @job
    def send(report: Report) -> None: ...

    @job
    def welcome(user: Signed) -> None: ...

    payload = resize.payload(image_id=7)

    assert (payload.__job_name__, payload.ordering_key()) == ("resize", "7")
    assert payload.model_dump() == {"image_id": 7, "width": 640}
    assert resize.payload(payload) is payload
    assert send.payload(account=3) == Report(account=3)
    assert not hasattr(welcome, "payload")
    with pytest.raises(PayloadInvalid, match="widht"):
        resize.payload(image_id=7, widht=3)


def test_enqueue_without_a_loop_says_so_instead_of_doing_nothing() -> None:
    @job
    async def resize(image_id: int) -> None: ...

    with pytest.raises(
        StreamsError, match=r"give resize.payload\(...\) to the enqueue of a client"
    ):
        resize.enqueue(image_id=7)


def test_a_misspelt_option_names_the_right_one() -> None:
    with pytest.raises(TypeError, match=r"did you mean timeout=\?"):
        job(tiemout="1s")  # type: ignore[call-overload]
    with pytest.raises(TypeError, match="options are name, queue, retry"):
        job(nonsense=1)  # type: ignore[call-overload]


@pytest.mark.parametrize(
    ("word", "right_one"),
    [
        ("priority", 'queue="critical"'),
        ("rate", 'rate_limit=RateLimit(100, per="1m")'),
        ("limiter", 'rate_limit=RateLimit(100, per="1m")'),
        ("max_concurrency", "cluster_concurrency="),
        ("max_retries", "retry=Retry(attempts=3)"),
        ("attempts", "retry=Retry(attempts=3)"),
        ("time_limit", "timeout="),
    ],
)
def test_a_word_of_other_systems_names_ours(word: str, right_one: str) -> None:
    options: dict[str, Any] = {word: 1}
    with pytest.raises(TypeError) as refused:
        job(**options)
    assert str(refused.value).startswith(f"@job({word}=...): ")
    assert right_one in str(refused.value)


def test_an_untyped_parameter_is_a_mistake() -> None:
    @job
    def resize(image_id, width: int = 640, ctx=None) -> None: ...  # type: ignore[no-untyped-def]

    assert "'image_id' has no type" in only_mistake(resize)


def test_a_context_whose_type_is_nowhere_is_a_mistake() -> None:
    @job
    def misspelt(user: Signed, ctx: JobContxt) -> None: ...  # type: ignore[name-defined]  # noqa: F821

    @job
    def taken(user: Signed, ctx: int) -> None: ...

    assert "the type 'JobContxt' of 'ctx' can't be resolved" in only_mistake(misspelt)
    assert "write JobContext" in only_mistake(misspelt)
    assert "'ctx' is where the context goes, and its type is int" in only_mistake(taken)


def test_a_method_is_a_mistake_and_the_only_one() -> None:
    class Mailer:
        @job
        async def send(self, report: Report) -> None: ...

    assert "it is a method" in only_mistake(Mailer.send)
