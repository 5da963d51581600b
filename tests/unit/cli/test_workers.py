"""What `streams workers ls` prints."""

from __future__ import annotations

import pytest

from streams.cli.workers import _print_running
from streams.replay.workers import Running, WorkerSeen

NOW = 1_700_000_000_000


def test_what_a_worker_ran_that_is_not_heard_of_is_marked(
    capsys: pytest.CaptureFixture[str],
) -> None:
    runs = Running(name="mail", id="1", key=None, attempt=1, since=NOW - 90_000)
    here = WorkerSeen(
        worker="here",
        group="workers",
        version="1",
        started=NOW - 90_000,
        seen=NOW,
        partitions={},
        standbys={},
        in_hand=1,
        running=(runs,),
    )
    _print_running([here], NOW)
    assert "gone?" not in capsys.readouterr().out
    _print_running([here], NOW + 60_000)
    assert "here: gone?" in capsys.readouterr().out
