"""Tokens, sessions, scopes and origins: what is let in, decided without a server."""

from __future__ import annotations

from pathlib import Path

import pytest

from streams.console.access.address import address_of
from streams.console.access.origins import host_refusal, is_loopback, origin_refusal
from streams.console.access.scopes import is_open, needed
from streams.console.access.sessions import Sessions, session_key
from streams.console.access.throttle import Throttle
from streams.console.access.tokens import digest_of, found, new_token, read_token, read_tokens
from streams.errors import SettingsError
from streams.settings import Settings


def test_a_token_is_found_by_its_digest_alone() -> None:
    token, entry = new_token("web", ["read", "emit"])
    other, second = new_token("web", ["read", "emit"])
    assert entry.line() == f"web:read+emit:{digest_of(token)}"
    assert read_token(entry.line()) == entry
    for told, its in ((token, entry), (other, second)):  # two of a name, while one goes
        assert found([entry, second], told) == its
    assert found([entry, second], entry.digest) is None
    assert found([entry, second], "\udce4") is None
    assert found([], token) is None


@pytest.mark.parametrize(
    "line",
    [
        "",
        "web",
        "web:read",
        "web:read:short",
        "web::" + "0" * 64,
        "web:all:" + "0" * 64,
        "a b:read:0",
    ],
)
def test_what_is_no_entry_is_refused_without_being_shown(line: str) -> None:
    with pytest.raises(SettingsError, match="streams console token") as refused:
        read_token(line)
    assert "0000" not in str(refused.value)


def test_entries_are_those_of_the_variable_and_of_the_file(tmp_path: Path) -> None:
    (_, first), (_, second) = new_token("a", ["read"]), new_token("b", ["act"])
    file = tmp_path / "tokens"
    file.write_text(f"# of people\n\n{second.line()}\n")
    settings = Settings(console_tokens=first.line(), console_tokens_file=str(file))
    assert read_tokens(settings) == (first, second)
    with pytest.raises(SettingsError, match="can't be read"):
        read_tokens(Settings(console_tokens_file=str(tmp_path / "none")))


def test_sessions_end_with_their_time_their_token_and_when_they_are_ended() -> None:
    _, entry = new_token("ada", ["read"])
    _, other = new_token("ada", ["read"])
    sessions = Sessions(b"k" * 32, [entry], lasts_s=60)
    cookie = sessions.begin(entry, now=1_000)
    session = sessions.read(cookie, now=1_059)
    assert session is not None
    assert session.token == entry
    assert sessions.read(cookie, now=1_060) is None
    assert Sessions(b"k" * 32, [other], lasts_s=60).read(cookie, now=1_001) is None
    assert Sessions(b"l" * 32, [entry], lasts_s=60).read(cookie, now=1_001) is None
    assert sessions.fits_form(session.id, sessions.form_token(session.id))
    for wrong in (None, "", "é", sessions.form_token("another")):
        assert not sessions.fits_form(session.id, wrong)
    sessions.end(session, now=1_001)
    assert sessions.read(cookie, now=1_002) is None


@pytest.mark.parametrize("cookie", ["", ".", "a.b", "é.é", "x" * 5_000])
def test_what_is_no_cookie_of_ours_is_none(cookie: str) -> None:
    assert Sessions(b"k" * 32, [], lasts_s=60).read(cookie, now=1) is None


def test_the_key_of_sessions_is_kept_for_its_owner_alone(tmp_path: Path) -> None:
    key = session_key(str(tmp_path))
    file = tmp_path / "console" / "session.key"
    assert (len(key), session_key(str(tmp_path))) == (32, key)
    assert file.stat().st_mode & 0o777 == 0o600
    file.write_bytes(b"cut")  # whoever made it was interrupted
    assert len(session_key(str(tmp_path))) == 32


def test_what_nobody_has_thought_of_needs_a_scope() -> None:
    assert needed("GET", "/jobs/x") == needed("HEAD", "/anything") == "read"
    assert needed("POST", "/jobs") == needed("POST", "/events") == "emit"
    assert needed("POST", "/jobs/x/cancel") == needed("DELETE", "/anything") == "act"
    assert is_open("/live")
    assert is_open("/static/console.css")
    for path in ("/", "/livelier", "/static", "/metrics", "/health", "/ui/jobs", "//live"):
        assert not is_open(path)


def test_names_of_the_console() -> None:
    for host in ("localhost", "127.0.0.1:8001", "[::1]:8001", "LOCALHOST:1", "127.9.9.9"):
        assert host_refusal(host, ()) is None, host
    for wrong in (None, "", "evil.example", "localhost.evil.example", "127.0.0.1.evil.example:1"):
        assert host_refusal(wrong, ()) is not None, wrong
    assert host_refusal("jobs.example:80", {"jobs.example"}) is None
    assert is_loopback("127.0.0.1")
    assert not is_loopback("0.0.0.0")


def test_pages_of_others() -> None:
    def refused(origin: str | None, site: str | None = None) -> bool:
        return origin_refusal(origin, site, "jobs.example:8001", {"proxy.example"}) is not None

    assert not refused(None)
    assert not refused("http://jobs.example:8001")
    assert not refused("https://proxy.example")
    assert not refused(None, "same-origin")
    for origin in ("null", "http://jobs.example", "http://evil.example", "http://[", "x"):
        assert refused(origin), origin
    assert refused(None, "cross-site")
    assert refused(None, "same-site")


def test_guesses_of_one_address_do_not_keep_others_out() -> None:
    throttle = Throttle()
    for at in range(5):
        assert throttle.wait_s("a", at) == 0
        throttle.failed("a", at)
    assert throttle.wait_s("a", 5) == 56
    assert throttle.wait_s("b", 5) == 0
    assert throttle.wait_s("a", 61) == 0


def test_guesses_from_everywhere_lock_nobody_out() -> None:
    throttle = Throttle()
    for number in range(20_000):
        throttle.failed(f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}", 100)
    assert throttle.wait_s("192.0.2.1", 101) == 0
    for _ in range(5):  # and who guesses is known among them
        throttle.failed("192.0.2.2", 101)
    assert throttle.wait_s("192.0.2.2", 102) > 0


def test_addresses_of_one_network_are_one_party() -> None:
    throttle = Throttle()
    for number in range(5):
        throttle.failed(f"2001:db8::{number}", 1)
    assert throttle.wait_s("2001:db8::ffff", 2) > 0
    assert throttle.wait_s("2001:db8:0:1::1", 2) == 0
    for _ in range(5):
        throttle.failed("::ffff:192.0.2.7", 1)
    assert throttle.wait_s("192.0.2.7", 2) > 0
    assert throttle.wait_s("no address", 2) == 0


def test_a_forwarded_address_counts_behind_a_proxy_alone() -> None:
    scope = {
        "type": "http",
        "client": ("192.0.2.1", 1234),
        "headers": [(b"x-forwarded-for", b"10.1.1.1, 10.9.9.9")],
    }
    assert address_of(scope, is_behind_proxy=False) == "192.0.2.1"
    assert address_of(scope, is_behind_proxy=True) == "10.9.9.9"
    assert address_of({"type": "http", "headers": []}, is_behind_proxy=True) == ""
