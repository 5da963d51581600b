"""An option that is given has to say something: empty it means neither nothing nor all."""

from __future__ import annotations

import pytest

from streams.cli import exits, main

LETTERS = ("job", "queue", "error", "text", "key")


@pytest.mark.parametrize(
    ("command", "option"),
    [
        *((("dlq", verb), option) for verb in ("ls", "replay") for option in LETTERS),
        *((("dlq", "discard", "--reason", "x"), option) for option in LETTERS),
        *((("jobs", "ls"), option) for option in ("queue", "name", "key", "error", "text")),
    ],
)
def test_an_empty_one_is_told_before_anything_is_read(
    command: tuple[str, ...],
    option: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", "127.0.0.1:1")
    with pytest.raises(SystemExit) as ended:
        main((*command, f"--{option}", ""))
    assert ended.value.code == exits.USAGE
    assert f"--{option} is empty: leave it out" in " ".join(capsys.readouterr().err.split())
