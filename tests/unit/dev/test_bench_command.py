"""`streams bench` as others script it: names, exit codes and the shape of its JSON."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pytest

from streams.cli import exits, main
from streams.dev.bench import run
from streams.dev.bench.bench import BenchFailed
from streams.dev.bench.catalog import BENCHES
from streams.dev.bench.names import NAMES
from streams.dev.bench.run import result_of

ROUNDS = [
    {"jobs_per_second": 40_123.4, "ratio": 12.34},
    {"jobs_per_second": 41_000.0, "ratio": 12.56},
    {"jobs_per_second": 39_000.0, "ratio": 12.0},
]


def call(*arguments: str) -> int:
    with pytest.raises(SystemExit) as ended:
        main(["bench", *arguments])
    return int(ended.value.code or 0)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Runs nothing; what it was asked for."""
    asked: dict[str, Any] = {}

    def pretend(names: Sequence[str], **options: Any) -> list[dict[str, Any]]:
        asked.update(options, names=tuple(names))
        return [
            result_of(BENCHES[name], ROUNDS, jobs=10, others=0.1234, seconds=1.26) for name in names
        ]

    monkeypatch.setattr(run, "run_benches", pretend)
    monkeypatch.delenv("KAFKA_BOOTSTRAP_SERVERS", raising=False)
    return asked


def test_every_name_has_its_bench() -> None:
    assert tuple(BENCHES) == NAMES


def test_the_last_line_is_one_object_with_the_medians(
    asked: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    assert call("drain", "--json", "--jobs", "10", "--rounds", "3", "--bootstrap", "b:1") == 0

    assert asked["names"] == ("drain",)
    assert (asked["jobs"], asked["rounds"], asked["bootstrap"]) == (10, 3, "b:1")
    result = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert result["bench"] == "drain"
    assert (result["jobs"], result["rounds"]) == (10, 3)
    assert (result["jobs_per_second"], result["ratio"]) == (40_123, 12.3)
    assert [one["ratio"] for one in result["each_round"]] == [12.3, 12.6, 12.0]
    assert (result["took_seconds"], result["cores_busy_with_others"]) == (1.3, 0.12)
    assert result["how"].startswith("The queue is full before the worker starts.")


def test_without_a_name_all_run_and_json_has_each_under_its_name(
    asked: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    assert call("--json") == exits.DONE

    assert asked["names"] == NAMES
    assert (asked["jobs"], asked["rounds"], asked["bootstrap"]) == (None, None, "")
    results = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert tuple(results) == NAMES


def test_without_json_there_is_a_table(
    asked: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    assert call("drain") == exits.DONE

    told = capsys.readouterr().out
    assert "jobs_per_second" in told
    assert "40,123" in told


def test_the_broker_may_come_from_the_environment(
    asked: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", "c:1")

    assert call("io") == exits.DONE

    assert asked["bootstrap"] == "c:1"


def test_an_unknown_name_is_told_those_there_are(capsys: pytest.CaptureFixture[str]) -> None:
    assert call("sprint") == exits.USAGE

    assert "there are: drain, unordered, io, fanout" in capsys.readouterr().err


@pytest.mark.parametrize("option", ["--jobs", "--rounds"])
def test_numbers_start_at_one(option: str) -> None:
    assert call("drain", option, "0") == exits.USAGE


def test_a_recount_that_differs_is_1(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def differ(*_: Any, **__: Any) -> None:
        raise BenchFailed("the recount of the topics failed: 1 of 2 jobs are missing")

    monkeypatch.setattr(run, "run_benches", differ)

    assert call("drain", "--json") == exits.NEGATIVE

    said = capsys.readouterr()
    assert said.out == ""
    assert said.err == "streams: the recount of the topics failed: 1 of 2 jobs are missing\n"


def test_no_broker_is_4(capsys: pytest.CaptureFixture[str]) -> None:
    assert call("drain", "--bootstrap", "127.0.0.1:1") == exits.NO_BROKER
