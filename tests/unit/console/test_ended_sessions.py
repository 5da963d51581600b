"""Sessions that were ended stay so: when a console starts again, and for those beside it."""

from __future__ import annotations

import logging
import threading
from pathlib import Path

import orjson
import pytest

from streams.console.access.ended import EndedSessions
from streams.console.access.sessions import Sessions
from streams.console.access.tokens import new_token
from streams.console.app import rules_of
from streams.errors import SettingsError
from streams.settings import Settings

_, ENTRY = new_token("ada", ["read"])


def sessions_in(folder: Path) -> Sessions:
    return rules_of(Settings(data_dir=str(folder), console_tokens=ENTRY.line())).sessions


def file_in(folder: Path) -> Path:
    return folder / "console" / "session.ended"


def test_a_session_that_was_ended_stays_so_when_the_console_starts_again(tmp_path: Path) -> None:
    # given two who signed in, one of whom signed out
    first = sessions_in(tmp_path)
    cookie, other = first.begin(ENTRY, now=1_000), first.begin(ENTRY, now=1_000)
    session = first.read(cookie, now=1_001)
    assert session is not None
    first.end(session, now=1_001)
    # when the console starts again, then it knows
    again = sessions_in(tmp_path)
    assert again.read(cookie, now=1_002) is None
    assert again.read(other, now=1_002) is not None
    assert file_in(tmp_path).stat().st_mode & 0o777 == 0o600


def test_consoles_of_one_directory_know_of_each_other(tmp_path: Path) -> None:
    one, other = sessions_in(tmp_path), sessions_in(tmp_path)
    cookies = [one.begin(ENTRY, now=1_000) for _ in range(2)]
    for console, cookie in zip((one, other), cookies, strict=True):
        session = console.read(cookie, now=1_001)
        assert session is not None
        console.end(session, now=1_001)
    for cookie in cookies:
        assert one.read(cookie, now=1_002) is None
        assert other.read(cookie, now=1_002) is None


def test_what_would_be_over_by_itself_is_forgotten(tmp_path: Path) -> None:
    ended = EndedSessions(str(tmp_path))
    ended.add("a", until=100, now=50)
    ended.add("b", until=200, now=150)
    assert orjson.loads(file_in(tmp_path).read_bytes()) == {"b": 200}


def test_those_who_write_at_the_same_moment_lose_nothing(tmp_path: Path) -> None:
    consoles = [EndedSessions(str(tmp_path)) for _ in range(8)]
    begin = threading.Barrier(len(consoles))

    def end_some(number: int) -> None:
        begin.wait()
        for each in range(10):
            consoles[number].add(f"{number}-{each}", until=100, now=1)

    threads = [threading.Thread(target=end_some, args=(n,)) for n in range(len(consoles))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(orjson.loads(file_in(tmp_path).read_bytes())) == 80


@pytest.mark.parametrize("content", [b"{", b"[]", b'{"a": "x"}'])
def test_a_file_that_can_not_be_read_is_told_with_the_remedy(
    tmp_path: Path, content: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    ended = EndedSessions(str(tmp_path))
    ended.add("a", until=100, now=1)
    file_in(tmp_path).write_bytes(content)
    # a console that runs goes by what it knows, and says so once
    with caplog.at_level(logging.ERROR):
        assert "a" in ended
        assert "b" not in ended
    assert [record.message for record in caplog.records if "can't be read" in record.message]
    assert len(caplog.records) == 1
    # one that starts does not: nobody is let in who signed out
    with pytest.raises(SettingsError, match=r"session\.key"):
        EndedSessions(str(tmp_path))


def test_a_disk_that_takes_nothing_ends_the_session_in_memory(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    ended = EndedSessions(str(tmp_path))
    (tmp_path / "console").write_text("in its place")
    with caplog.at_level(logging.ERROR):
        ended.add("a", until=100, now=1)
    assert "can't be written" in caplog.text
    assert "a" in ended
