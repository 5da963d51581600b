"""The command line's manners: exit codes, one line for an error, a quick start."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from streams.cli import exits, main
from streams.version import VERSION


def run(*arguments: str) -> int:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    return int(ended.value.code or 0)


def test_help_documents_the_exit_codes(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("dlq", "replay", "--help") == exits.DONE
    assert "Exit codes: 0 done" in " ".join(capsys.readouterr().out.split())


def test_usage_is_2(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("jobs", "show") == exits.USAGE
    assert run("dlq", "replay") == exits.USAGE
    assert "name one LETTER, say which with --job" in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments",
    [
        ("dlq", "ls"),
        ("dlq", "replay", "--all"),
        ("jobs", "show", "x"),
        ("topics", "plan"),
    ],
    ids=lambda arguments: " ".join(arguments[:2]),
)
def test_no_broker_is_4_and_one_line(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: tuple[str, ...],
) -> None:
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", "127.0.0.1:1")
    monkeypatch.setenv("STREAMS_HANDLERS", "agents")
    assert run(*arguments) == exits.NO_BROKER
    said = capsys.readouterr().err.strip().splitlines()
    assert len(said) == 1
    assert said[0].startswith("streams: ")
    assert "127.0.0.1:1" in said[0]


def test_bad_settings_are_2(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("STREAMS_PARTITIONS", "many")
    assert run("dlq", "ls") == exits.USAGE
    assert "STREAMS_PARTITIONS='many'" in capsys.readouterr().err


def test_starting_it_imports_nothing_heavy() -> None:
    code = "import json, sys, streams.cli; print(json.dumps(sorted(sys.modules)))"
    output = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout
    heavy = {"aiokafka", "pydantic", "faust", "mode", "rocksdict", "orjson", "aiosmtplib"}
    assert not heavy & set(json.loads(output))


def test_the_version_is_told_and_no_more(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--version") == 0
    assert capsys.readouterr().out == f"{VERSION}\n"
