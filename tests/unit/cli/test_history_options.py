"""`streams history replay`: what is asked for wrongly is told before anything is read or run."""

from __future__ import annotations

from pathlib import Path

import pytest

from streams.cli import exits, main

HANDLERS = """
from streams import Event, JobPayload, job

class Ordered(Event, type="shop.ordered"):
    order: int

class Other(JobPayload, name="other"):
    pass

@job(name="ship")
async def ship(event: Ordered) -> None: ...

@job(name="bill")
async def bill(event: Ordered) -> None: ...

@job
async def other(payload: Other) -> None: ...
"""


@pytest.fixture(autouse=True)
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "history_shop.py").write_text(HANDLERS)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("STREAMS_HANDLERS", "history_shop")
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", "127.0.0.1:1")


def run(*arguments: str) -> int:
    with pytest.raises(SystemExit) as ended:
        main(("history", "replay", *arguments))
    return int(ended.value.code or 0)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("shop.orderd", "--since", "1h"), "did you mean shop.ordered?"),
        (("shop.ordered", "--since", "1h", "--job", "shipp"), "did you mean ship?"),
        (("shop.ordered", "--since", "1h", "--job", "other"), "those of shop.ordered are: bill"),
        (("shop.ordered", "--since", "soon"), "--since soon: write how long ago"),
        (("shop.ordered", "--since", "1h", "--until", "2h"), "--since 1h is not before 2h"),
        (("shop.ordered", "--since", "1h", "--shadow", "--run", "x"), "are for real jobs"),
        (("shop.ordered", "--since", "1h", "--run", "a b"), "--run a b: up to 64 letters"),
        (
            ("shop.ordered", "--since", "1h", "--shadow", "--ignore", "at,id"),
            "--ignore 'at,id' is no field: write --ignore at --ignore id",
        ),
        (("shop.ordered", "--since", "1h", "--ignore", ""), "write --ignore FIELD"),
        (("shop.ordered", "--since", "1h", "--rate", "fast"), "--rate: 'fast' is no rate"),
    ],
)
def test_what_makes_no_sense_is_usage(
    arguments: tuple[str, ...], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(*arguments) == exits.USAGE
    assert said in " ".join(capsys.readouterr().err.split())


def test_without_a_broker_it_says_so(capfd: pytest.CaptureFixture[str]) -> None:
    assert run("shop.ordered", "--since", "1h", "--shadow") == exits.NO_BROKER
    said = capfd.readouterr()
    assert "no Kafka broker answered" in said.err
    assert "ship, bill: what it does beside ctx.enqueue" in said.err
    assert said.out == ""
