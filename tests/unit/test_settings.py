"""Settings come from variables; a mistake names its variable and what to write."""

from __future__ import annotations

import os

import pytest

from streams.errors import SettingsError
from streams.settings import Settings, unknown_variables


@pytest.fixture(autouse=True)
def no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith("STREAMS_") or name == "KAFKA_BOOTSTRAP_SERVERS":
            monkeypatch.delenv(name)


def test_defaults_are_those_of_the_table() -> None:
    settings = Settings()

    assert settings.bootstrap_servers == "localhost:9092"
    assert settings.queues == ("critical", "default", "bulk")
    assert (settings.partitions, settings.concurrency, settings.threads) == (8, 100, 5)
    assert (settings.grace, settings.session_timeout) == ("25s", "10s")
    assert (settings.unique_for, settings.ledger_kept) == ("24h", "3d")
    assert (settings.web_host, settings.web_port) == ("127.0.0.1", 9191)


def test_variables_win_and_lists_are_separated_by_commas(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", "a:1,b:2")
    monkeypatch.setenv("STREAMS_QUEUES", "urgent, slow,")
    monkeypatch.setenv("STREAMS_HANDLERS", "shop.mail,shop.reports")
    monkeypatch.setenv("STREAMS_WEB_PORT", "0")

    settings = Settings()

    assert settings.bootstrap_servers == "a:1,b:2"
    assert settings.queues == ("urgent", "slow")
    assert settings.handlers == ("shop.mail", "shop.reports")
    assert settings.web_port == 0


def test_only_the_documented_variable_names_the_broker(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BOOTSTRAP_SERVERS", "elsewhere:1")

    assert Settings().bootstrap_servers == "localhost:9092"
    assert Settings(bootstrap_servers="here:1").bootstrap_servers == "here:1"


@pytest.mark.parametrize(
    ("variable", "value", "remedy"),
    [
        ("STREAMS_GRACE", "25", 'no duration: write "250ms", "30s"'),
        ("STREAMS_PARTITIONS", "0", "greater than or equal to 1"),
        ("STREAMS_THREADS", "many", "valid integer"),
        ("STREAMS_WEB_PORT", "70000", "less than or equal to 65535"),
        ("STREAMS_LOG_FORMAT", "xml", "'json' or 'console'"),
        ("STREAMS_QUEUES", " , ", "name at least one queue"),
        ("KAFKA_BOOTSTRAP_SERVERS", "", "localhost:9092"),
    ],
)
def test_a_mistake_names_its_variable_and_the_remedy(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str, remedy: str
) -> None:
    monkeypatch.setenv(variable, value)

    with pytest.raises(SettingsError) as raised:
        Settings()

    assert str(raised.value).startswith(f"{variable}=")
    assert remedy in str(raised.value)


def test_all_mistakes_are_told_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STREAMS_GRACE", "soon")
    monkeypatch.setenv("STREAMS_PARTITIONS", "0")

    with pytest.raises(SettingsError, match=r"STREAMS_PARTITIONS=.*STREAMS_GRACE="):
        Settings()


def test_a_variable_that_is_no_setting_is_named_with_the_one_that_was_meant() -> None:
    found = unknown_variables(
        [
            "STREAMS_CONCURENCY",
            "STREAMS_BOOTSTRAP_SERVERS",
            "STREAMS_COLOUR",
            "STREAMS_GROUP",
            "PATH",
        ]
    )

    assert found == [
        ("STREAMS_BOOTSTRAP_SERVERS", "KAFKA_BOOTSTRAP_SERVERS"),
        ("STREAMS_COLOUR", None),
        ("STREAMS_CONCURENCY", "STREAMS_CONCURRENCY"),
    ]


def test_a_group_serves_queues_that_there_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STREAMS_QUEUES", "default,bulk")
    monkeypatch.setenv("STREAMS_SERVES", "bulk")
    assert Settings().serves == ("bulk",)
    monkeypatch.setenv("STREAMS_SERVES", "nope")
    with pytest.raises(SettingsError, match=r"STREAMS_SERVES=.*'nope' is not in STREAMS_QUEUES"):
        Settings()


def test_a_weight_of_a_queue_that_is_not_there_is_a_mistake(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("STREAMS_QUEUES", "urgent,slow")
    Settings()  # the weights that nobody wrote are for other queues
    monkeypatch.setenv("STREAMS_WEIGHTS", "urgent=3,slwo=1")
    with pytest.raises(SettingsError, match="'slwo' is not in STREAMS_QUEUES: urgent, slow"):
        Settings()
