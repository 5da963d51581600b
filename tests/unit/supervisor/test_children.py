"""When what one worker says of its settings is taken as true of all."""

from __future__ import annotations

from streams.supervisor.children import LASTING, Child


def test_a_process_lasts_while_it_runs_not_only_once_it_has_ended() -> None:
    child = Child(1, began=100.0, is_over=False)
    assert not child.lasts(100.0 + LASTING)
    assert child.lasts(100.1 + LASTING)


def test_a_process_that_ended_early_does_not_last_for_having_begun_long_ago() -> None:
    assert not Child(1, began=100.0, is_over=True).lasts(1_000.0)


def test_a_worker_one_of_whose_processes_lasted_is_known_to_run_well() -> None:
    assert Child(1, began=990.0, is_over=False, has_lasted=True).lasts(1_000.0)
    assert Child(1, has_lasted=True).lasts(1_000.0)
