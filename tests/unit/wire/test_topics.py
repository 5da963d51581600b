"""Names and settings of the topics."""

from __future__ import annotations

from streams.wire.topics import Role, TopicNames, specs


def test_the_prefix_is_prepended_as_it_stands() -> None:
    names = TopicNames("acme.")

    assert names.event("user.signed_up") == "acme.user.signed_up"
    assert names.queue("bulk") == "acme.jobs.bulk"
    assert names.retry("bulk") == "acme.jobs.bulk.retry"
    assert names.ledger("bulk") == "acme.jobs.bulk.ledger"
    assert names.commands("bulk") == "acme.jobs.bulk.commands"
    assert (names.dead, names.control, names.workers) == (
        "acme.jobs.dead",
        "acme.jobs.control",
        "acme.jobs.workers",
    )


def test_every_topic_once_with_its_settings() -> None:
    wanted = specs(TopicNames(), ["default", "bulk"], ["a", "a"], partitions=4, replication=3)
    by_name = {spec.name: spec for spec in wanted}

    assert len(by_name) == len(wanted) == 5 + 2 * 4 + 1
    assert {spec.replication for spec in wanted} == {3}
    for spec in wanted:
        single = spec.role in (Role.CONTROL, Role.WORKERS, Role.LIMITS, Role.ACTIONS)
        assert spec.partitions == (1 if single else 4)
        assert spec.any_partitions == (spec.role is Role.EVENT)
        assert bool(spec.config) == (spec.role is not Role.EVENT)
    assert by_name["jobs.bulk"].config["retention.ms"] == "-1"
    assert by_name["jobs.bulk.commands"].config["cleanup.policy"] == "delete"
    assert by_name["jobs.bulk.ledger"].config["cleanup.policy"] == "compact,delete"
    assert by_name["jobs.bulk.ledger"].config["retention.ms"] == "-1"
    assert by_name["jobs.limits"].config["message.timestamp.type"] == "LogAppendTime"
    assert by_name["jobs.bulk.retry"].config == {
        "cleanup.policy": "compact",
        "segment.bytes": "67108864",
        "segment.ms": "3600000",
        "min.compaction.lag.ms": "3600000",
        "delete.retention.ms": "86400000",
        "max.message.bytes": "2097152",
    }
