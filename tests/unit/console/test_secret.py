"""Where the secret of callers comes from."""

from __future__ import annotations

from pathlib import Path

import pytest

from streams.console.secret import read_secret
from streams.errors import SettingsError
from streams.settings import Settings


@pytest.fixture(autouse=True)
def no_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CRON_SECRET", raising=False)
    monkeypatch.delenv("CRON_SECRET_FILE", raising=False)


def test_it_is_a_variable_or_a_file_without_white_space(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert read_secret(Settings()) == b""
    monkeypatch.setenv("CRON_SECRET", " schlüssel\n")
    assert read_secret(Settings()) == "schlüssel".encode()
    file = tmp_path / "secret"
    file.write_bytes(b"another\n")
    monkeypatch.setenv("CRON_SECRET_FILE", str(file))
    with pytest.raises(SettingsError, match="are both set"):
        read_secret(Settings())
    monkeypatch.delenv("CRON_SECRET")
    assert read_secret(Settings()) == b"another"
    monkeypatch.setenv("CRON_SECRET_FILE", str(tmp_path / "nothing"))
    with pytest.raises(SettingsError, match=r"CRON_SECRET_FILE=.* can't be read: No such file"):
        read_secret(Settings())


def test_settings_do_not_show_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CRON_SECRET", "hidden")
    assert "hidden" not in repr(Settings()) + str(Settings())
