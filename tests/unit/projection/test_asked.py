"""What was asked of jobs: known until it is obeyed, in whatever order that is read."""

from __future__ import annotations

from itertools import permutations

from told import NAMES, NOW, Projection, Topics

from streams.projection.asked import Asked, asked_of


def asked_in(projection: Projection, *ids: str) -> list[list[Asked]]:
    """Of these jobs, one after the other."""
    rows = [projection.row(id) for id in ids]
    found = asked_of(projection.db, rows)
    return [found.get(row.n or 0, []) for row in rows]


def test_what_is_asked_is_known_until_it_is_obeyed() -> None:
    # given
    topics, projection = Topics(), Projection()
    projection.read([topics.sent("1"), topics.sent("2"), topics.asked("cancel", "1")])
    assert asked_in(projection, "1", "2") == [[Asked("mail", None, "1", "cancel", None, NOW)], []]

    # when
    projection.read([topics.obeyed(1)])

    # then
    assert asked_in(projection, "1") == [[]]


def test_it_is_the_same_in_whatever_order_its_topics_are_read() -> None:
    topics = Topics()
    records = [
        topics.sent("1"),
        topics.asked("reschedule", "1", due=NOW + 5),
        topics.asked("cancel", "1"),
        topics.obeyed(1),
    ]
    commands = records[1:3]
    for order in permutations((records[:1], commands, records[3:])):
        projection = Projection()
        for some in order:
            projection.read(some)
        assert [[each.what for each in its] for its in asked_in(projection, "1")] == [["cancel"]]


def test_after_a_restart_it_knows_what_was_obeyed() -> None:
    # given
    topics, projection = Topics(), Projection()
    command = topics.asked("cancel", "1")
    projection.read([topics.sent("1"), topics.obeyed(1)])

    # when
    projection.restart()
    projection.read([command])

    # then
    assert asked_in(projection, "1") == [[]]


def test_commands_of_another_partition_and_to_another_job_are_apart() -> None:
    topics, projection = Topics(), Projection()
    projection.read(
        [
            topics.sent("1"),
            topics.sent("1", queue="bulk"),
            topics.sent("1", key="mail:a"),
            topics.asked("cancel", "1", queue="bulk"),
            topics.asked("discard", "1", key="mail:a", partition=1),
            topics.obeyed(1),  # of the first partition
        ]
    )
    rows = projection.rows
    found = asked_of(projection.db, list(rows.values()))
    shown = {
        (identity.queue, identity.key): [each.what for each in found.get(row.n or 0, [])]
        for identity, row in rows.items()
    }
    assert shown == {
        ("default", None): [],
        ("bulk", None): ["cancel"],
        ("default", "mail:a"): ["discard"],
    }


def test_a_late_word_of_an_earlier_owner_changes_nothing() -> None:
    topics, projection = Topics(), Projection()
    projection.read([topics.sent("1"), topics.asked("cancel", "1")])
    projection.read([topics.obeyed(0, epoch=2), topics.obeyed(1, epoch=1)])
    assert [each.what for each in asked_in(projection, "1")[0]] == ["cancel"]


def test_what_is_no_command_or_no_offset_is_set_aside() -> None:
    topics, projection = Topics(), Projection()
    projection.read(
        [
            topics.sent("1"),
            topics.put(NAMES.commands("default"), b"[1]", b"{"),
            topics.put(NAMES.retry("default"), b"#commands", b"9" * 40),
            topics.put(NAMES.retry("default"), b"#committed", b"9" * 40),
            topics.asked("cancel", "1"),
        ]
    )
    assert [each.what for each in asked_in(projection, "1")[0]] == ["cancel"]
