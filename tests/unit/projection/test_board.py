"""What is in memory: it is of the topics that there are, and of none that there were."""

from __future__ import annotations

import orjson

from streams.projection.board import ACTIONS_KEPT, Board
from streams.wire.actions import OperatorAction, encode_action
from streams.wire.envelope import Record
from streams.wire.topics import TopicNames
from streams.worker.control import pause_record

NAMES = TopicNames("t.")
NOW = 1_790_000_000_000


def record(topic: str, key: bytes, value: bytes | None, offset: int = 0) -> Record:
    return Record(topic, 0, offset, NOW, key, value, ())


def worker() -> bytes:
    said = {"group": "g", "started": NOW, "partitions": {}, "in_hand": 0, "running": []}
    return orjson.dumps(said)


def filled() -> Board:
    board = Board(NAMES)
    for topic in board.topics:
        board.begin((topic, 0), 0, 9)
    board.take(record(NAMES.workers, b"w1", worker(), 8))
    board.take(record(NAMES.control, *pause_record("default", NOW), 8))
    board.take(record(NAMES.actions, *action("a1"), 8))
    return board


def action(id: str, *, ended: bool = False, at: int = NOW) -> tuple[bytes, bytes]:
    made = OperatorAction(id=id, at=at, by="ada", what="jobs cancel", on="x", ended=ended)
    return encode_action(made)


def told(board: Board) -> tuple[int, int, int]:
    return len(board.workers(NOW)), len(board.control.paused()), len(board.actions.latest())


def test_topics_that_go_on_are_read_again_without_a_gap() -> None:
    board = filled()
    for topic in board.topics:
        assert board.begin((topic, 0), 0, 9) == 0
    assert told(board) == (1, 1, 1)


def test_a_topic_that_was_made_anew_takes_along_what_it_said() -> None:
    for at, topic in enumerate(filled().topics):
        board = filled()
        board.begin((topic, 0), 0, 3)
        control, workers, actions = (int(at != one) for one in range(3))
        assert told(board) == (workers, control, actions)


def test_another_cluster_says_everything_anew() -> None:
    board = filled()
    board.forget()
    assert told(board) == (0, 0, 0)
    assert not board.has_actions


def test_actions_are_read_from_near_their_end() -> None:
    board = Board(NAMES)
    assert board.begin((NAMES.actions, 0), 10, 1_000_000) == 1_000_000 - 2 * ACTIONS_KEPT
    assert board.begin((NAMES.control, 0), 10, 1_000_000) == 10


def test_it_is_known_whether_all_actions_were_read() -> None:
    board = Board(NAMES)
    assert not board.has_actions
    board.begin((NAMES.actions, 0), 0, 2)
    board.take(record(NAMES.actions, *action("a1"), 0))
    assert not board.has_actions
    board.take(record(NAMES.actions, *action("a1", ended=True), 1))
    assert board.has_actions
    # and an empty topic has none
    empty = Board(NAMES)
    empty.begin((NAMES.actions, 0), 4, 4)
    assert empty.has_actions
