"""The recipes of docs/idempotency.md, run as they are written: ten times leave what once leaves."""

from __future__ import annotations

import functools
import inspect
import re
import sys
import textwrap
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, create_engine, text

from streams import Fixed, JobContext, JobPayload, Retry, job
from streams.idempotency import Once
from streams.testing.sandbox import Sandbox
from streams.wire.state import OpenEntry

PAGE = Path(__file__).parents[2] / "docs" / "idempotency.md"


class OrderPlaced(JobPayload, name="charge"):
    cents: int


class GrantCredit(JobPayload, name="grant", key="account_id"):
    account_id: int
    cents: int


class PriceChanged(JobPayload, name="refresh", key="item"):
    item: str
    cents: int
    changed_at: str


class PlaceOrder(JobPayload, name="place"):
    item: str


class SendReceipt(JobPayload, name="receipt"):
    order: int


CONTRACTS = {
    each.__name__: each
    for each in (OrderPlaced, GrantCredit, PriceChanged, PlaceOrder, SendReceipt)
}


class Stripe(types.ModuleType):
    """Charges once for each key, as the real one does."""

    def __init__(self) -> None:
        super().__init__("stripe")
        self.charged: dict[str, int] = {}
        self.calls = 0
        self.PaymentIntent = types.SimpleNamespace(create_async=self._create)

    async def _create(self, *, amount: int, currency: str, idempotency_key: str) -> None:
        self.calls += 1
        self.charged.setdefault(idempotency_key, amount)


@pytest.fixture
def stripe(monkeypatch: pytest.MonkeyPatch) -> Stripe:
    stripe = Stripe()
    monkeypatch.setitem(sys.modules, "stripe", stripe)
    return stripe


@pytest.fixture(params=["sqlite", "postgres"])
def engine(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Engine]:
    if request.param == "sqlite":
        engine = create_engine(f"sqlite:///{tmp_path / 'recipes.db'}")
        serial = "INTEGER PRIMARY KEY"
    else:
        uri: str = request.getfixturevalue("postgres")
        engine = create_engine(uri.replace("postgresql://", "postgresql+psycopg://", 1))
        serial = "SERIAL PRIMARY KEY"
    with engine.begin() as db:
        db.execute(text(ddl_of_the_page()))
        db.execute(text("CREATE TABLE accounts (id INT PRIMARY KEY, cents INT)"))
        db.execute(text("INSERT INTO accounts VALUES (7, 0)"))
        db.execute(text("CREATE TABLE prices (item TEXT PRIMARY KEY, cents INT, changed_at TEXT)"))
        db.execute(text(f"CREATE TABLE orders (id {serial}, item TEXT)"))
    yield engine
    engine.dispose()


def ddl_of_the_page() -> str:
    (ddl,) = re.findall(r"```sql\n(.*?)```", PAGE.read_text(), re.S)
    return textwrap.dedent(ddl).strip()


@pytest.fixture
def recipe(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """The page's handler of this name, in a module that has what the page takes for given."""
    monkeypatch.setattr("streams.job", fails_behind_its_work)
    blocks = re.findall(r"^```python\n(.*?)^```", PAGE.read_text(), re.S | re.M)

    def run(name: str, **given: Any) -> Any:
        (block,) = (each for each in blocks if f"def {name}(" in each)
        names: dict[str, Any] = {"__name__": __name__, **CONTRACTS, **given}
        exec(compile(block, f"{PAGE.name}: {name}", "exec", dont_inherit=True), names)
        return names[name]

    return run


def fails_behind_its_work(function: Callable[..., Any]) -> Any:
    """`@job`, of which each attempt of ten fails when all is done, and only a replay does not."""

    def fail(ctx: JobContext) -> None:
        if ctx.generation == 0:
            raise ConnectionError("nobody hears of its end")

    @functools.wraps(function)
    async def coroutine(payload: Any, ctx: JobContext) -> None:
        await function(payload, ctx)
        fail(ctx)

    @functools.wraps(function)
    def plain(payload: Any, ctx: JobContext) -> None:
        function(payload, ctx)
        fail(ctx)

    handler = coroutine if inspect.iscoroutinefunction(function) else plain
    return job(retry=Retry(attempts=10, backoff=Fixed("1m")))(handler)


async def run_eleven_times(box: Sandbox, payload: JobPayload) -> None:
    key = await box.enqueue(payload)
    await box.advance("1h")
    (dead,) = [each for each in box.jobs(state="dead") if isinstance(each, OpenEntry)]
    assert dead.attempts == 10
    await box.replay(key)
    assert box.jobs(state="dead") == []


async def test_a_call_to_another_service(recipe: Callable[..., Any], stripe: Stripe) -> None:
    async with Sandbox(recipe("charge")) as box:
        await run_eleven_times(box, OrderPlaced(cents=500))
    assert stripe.calls == 11
    assert list(stripe.charged.values()) == [500]


async def test_check_and_record(recipe: Callable[..., Any], engine: Engine) -> None:
    async with Sandbox(recipe("grant", engine=engine)) as box:
        await run_eleven_times(box, GrantCredit(account_id=7, cents=500))
        assert rows(engine, "SELECT cents FROM accounts") == [(500,)]


async def test_what_follows_the_transaction(recipe: Callable[..., Any], engine: Engine) -> None:
    sent: list[int] = []

    @job
    async def receipt(payload: SendReceipt) -> None:
        sent.append(payload.order)

    async with Sandbox(recipe("place", engine=engine), receipt) as box:
        await run_eleven_times(box, PlaceOrder(item="lamp"))
        assert rows(engine, "SELECT id, item FROM orders") == [(1, "lamp")]
        assert sent == [1]


async def test_upsert(recipe: Callable[..., Any], engine: Engine) -> None:
    async with Sandbox(recipe("refresh", engine=engine)) as box:
        for cents, changed_at in ((5, "2026-11-02T00:00:00Z"), (4, "2026-11-01T00:00:00Z")):
            payload = PriceChanged(item="lamp", cents=cents, changed_at=changed_at)
            await run_eleven_times(box, payload)
            assert rows(engine, "SELECT item, cents FROM prices") == [("lamp", 5)]


def test_the_table_is_the_one_that_is_made() -> None:
    assert ddl_of_the_page() == Once().ddl


def test_no_recipe_is_left_out() -> None:
    named = re.findall(r"^@job\n(?:async )?def (\w+)", PAGE.read_text(), re.M)
    assert sorted(named) == ["charge", "grant", "place", "refresh"]
    assert PAGE.read_text().count("```python") == len(named)


def rows(engine: Engine, query: str) -> list[tuple[Any, ...]]:
    with engine.connect() as db:
        return [tuple(row) for row in db.execute(text(query))]
