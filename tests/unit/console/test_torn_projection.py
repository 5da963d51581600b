"""A projection that can't be read is told once, answered with 503, and made anew if it is torn."""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from streams.console.console import Console
from streams.console.problems import Problem
from streams.jobs.registry import Registry
from streams.projection.feed import Feed
from streams.projection.file import open_store
from streams.projection.own_file import Outdated, OwnFile
from streams.settings import Settings

QUEUES = ("default",)


@pytest.fixture
async def console(tmp_path: Path) -> AsyncIterator[Console]:
    """One whose projection is there, and is read by nobody else."""
    settings = Settings(data_dir=str(tmp_path), queues=QUEUES, weights=())
    console = Console(settings, Registry([], QUEUES))
    path = tmp_path / "projection.sqlite"
    open_store(path, "cluster t.", QUEUES, 1).close()
    console.feed = Feed(settings.bootstrap_servers, console.names, QUEUES, path)
    console.feed.opened.set()
    yield console
    console._questions.close()


def count(db: sqlite3.Connection) -> int:
    return int(db.execute("select count(*) from kinds").fetchone()[0])


def tear(path: Path) -> None:
    """Write over all of it but its first page."""
    with path.open("r+b") as file:
        size = len(file.read())
        file.seek(100)
        file.write(b"\xff" * (size - 100))


async def test_a_torn_file_is_told_once_and_made_anew(
    console: Console, caplog: pytest.LogCaptureFixture
) -> None:
    # given a file of which a disk has lost something
    tear(console.feed.path)
    # when it is asked, then the answer is that it can't be told now
    with caplog.at_level(logging.ERROR):
        for _ in range(3):
            with pytest.raises(Problem) as refused:
                await console.ask(count)
            assert refused.value.status == 503
            assert "Retry-After" in refused.value.headers
    (record,) = caplog.records
    assert "made anew" in record.message
    # and who writes it makes another one
    with pytest.raises(Outdated, match="torn"):
        console.feed._file.check()


async def test_a_file_of_an_earlier_life_spoils_no_other(console: Console) -> None:
    console.feed.spoil(console.feed.generation - 1)
    console.feed._file.open("cluster t.")[0].close()
    console.feed._file.check()


async def test_a_fault_of_the_disk_is_told_once_and_again_after_it_was_over(
    console: Console, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(db: sqlite3.Connection) -> int:
        return int(db.execute("select * from not_there").fetchone()[0])

    with caplog.at_level(logging.ERROR):
        for _ in range(2):
            for _ in range(3):
                with pytest.raises(Problem):
                    await console.ask(refuse)
            await console.ask(count)
    assert len(caplog.records) == 2
    assert all("not_there" in record.message for record in caplog.records)


async def test_a_mistake_in_a_question_is_a_mistake(console: Console) -> None:
    with pytest.raises(sqlite3.ProgrammingError):
        await console.ask(lambda db: db.execute("select ?"))


def test_a_file_that_was_spoilt_is_another_one_afterwards(tmp_path: Path) -> None:
    file = OwnFile(tmp_path / "projection.sqlite", QUEUES)
    store, _ = file.open("cluster t.")
    store.close()
    file.spoil()
    with pytest.raises(Outdated):
        file.check()
    store, is_another = file.open("cluster t.")
    store.close()
    assert (is_another, file.generation) == (True, 2)
    file.check()
