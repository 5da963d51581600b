"""Who is in the group: members with a name that come back, and partitions that come and go."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

from effects import Lines
from fault_handlers import Hold, Stubborn
from fault_oracle import Topics
from fleet import Fleet, happened
from group import Group
from topics import create_topics

from streams.client import JobClient
from streams.dev.ports import free_port
from streams.observe.metrics import DUPLICATES

PARTITIONS = 4


async def test_a_named_member_that_comes_back_in_time_moves_no_partition(
    kafka: str, prefix: str, tmp_path: Path
) -> None:
    await create_topics(kafka, prefix)
    group = Group(kafka, f"{prefix}workers")
    jobs = set(range(20))
    latch = tmp_path / "latch"
    settings = {"STREAMS_SESSION_TIMEOUT": "30s", "STREAMS_GRACE": "200ms"}
    with Fleet(kafka, prefix, tmp_path, **settings) as fleet:
        async with JobClient(kafka, source="test", prefix=prefix) as client:
            # given a member with a name and another one, with jobs on both
            known_here(tmp_path / "named", prefix, "a")
            named = fleet.start("named", STREAMS_INSTANCE="a")
            fleet.start("other")
            await group.until_members(2, fleet.logs)
            await enqueue(client, *(Hold(n=n, latch=str(latch)) for n in jobs))
            found = await fleet.until_each("start", "hold", jobs)
        here = happened(found, "start", "hold", named)
        assert here
        assert here < jobs, fleet.logs()
        before = await group.generations()
        # when it ends in good order
        assert named.stop() == 0, named.log
        # then it is still a member, and its jobs wait for it
        assert await group.members() == 2
        named.start()
        latest = str(named.pid)
        await fleet.until(
            lambda found: (
                here <= {int(n) for what, *_, n, pid in found if (what, pid) == ("start", latest)}
            )
        )
        assert await group.members() == 2
        assert await group.generations() == before
        # and the jobs of the other one were not disturbed
        latch.touch()
        await fleet.until_each("end", "hold", jobs)
        await Topics.until_settled(kafka, prefix, {"hold": jobs}, fleet.logs)
        seen = by_job(fleet, "hold")
    for n in jobs:
        assert seen[n] == (
            ["start in named", "stop in named", "start in named", "end in named"]
            if n in here
            else ["start in other", "end in other"]
        )


async def test_a_second_worker_with_the_same_name_is_refused(
    kafka: str, prefix: str, tmp_path: Path
) -> None:
    await create_topics(kafka, prefix)
    jobs = set(range(5))
    latch = tmp_path / "latch"
    with Fleet(kafka, prefix, tmp_path, STREAMS_INSTANCE="a") as fleet:
        async with JobClient(kafka, source="test", prefix=prefix) as client:
            # given
            known_here(tmp_path / "first", prefix, "a")
            first = fleet.start("first")
            await enqueue(client, *(Hold(n=n, latch=str(latch)) for n in jobs))
            await fleet.until_each("start", "hold", jobs)
        # when; it waits for three sessions, as the other one could be about to end
        shared = {"STREAMS_DATA_DIR": str(tmp_path / "first" / "data")}
        second = fleet.start("second", STREAMS_SESSION_TIMEOUT="1s", **shared)
        # then
        assert await second.ended(30) == 2, second.log
        assert "another worker has STREAMS_INSTANCE=a here and goes on" in second.log
        assert "Traceback" not in second.log
        # and the first did not notice
        latch.touch()
        await fleet.until_each("end", "hold", jobs)
        assert first.stop() == 0, first.log
        seen = by_job(fleet, "hold")
    assert all(seen[n] == ["start in first", "end in first"] for n in jobs), seen


async def test_of_two_workers_with_one_name_on_two_machines_the_older_one_ends(
    kafka: str, prefix: str, tmp_path: Path
) -> None:
    await create_topics(kafka, prefix)
    jobs = set(range(5))
    latch = tmp_path / "latch"
    with Fleet(kafka, prefix, tmp_path, STREAMS_INSTANCE="a") as fleet:
        async with JobClient(kafka, source="test", prefix=prefix) as client:
            # given; both find state of their name on their disks, and so do not wait
            known_here(tmp_path / "first", prefix, "a")
            known_here(tmp_path / "second", prefix, "a")
            first = fleet.start("first")
            await enqueue(client, *(Hold(n=n, latch=str(latch)) for n in jobs))
            await fleet.until_each("start", "hold", jobs)
        # when
        second = fleet.start("second")
        # then
        assert await first.ended(60) == 2, first.log
        assert "another worker has joined with STREAMS_INSTANCE=a" in first.log
        # and the other one has its jobs, and keeps them
        await fleet.until_each("start", "hold", jobs, in_=second)
        latch.touch()
        await fleet.until_each("end", "hold", jobs, in_=second)
        topics = await Topics.until_settled(kafka, prefix, {"hold": jobs}, fleet.logs)
        assert all(len(records) == 1 for records in topics.settled("hold").values())
        assert second.stop() == 0, second.log


async def test_what_comes_back_goes_on_and_what_goes_away_no_longer_counts(
    kafka: str, prefix: str, tmp_path: Path
) -> None:
    await create_topics(kafka, prefix, PARTITIONS)
    held = set(range(20))
    early = set(range(20))  # those whose first process ends them before the second one does
    late = set(range(20, 40))  # and those where it is the other way round
    hold, soon, later = tmp_path / "hold", tmp_path / "soon", tmp_path / "later"
    with Fleet(kafka, prefix, tmp_path, STREAMS_PARTITIONS=str(PARTITIONS)) as fleet:
        async with JobClient(kafka, source="test", prefix=prefix) as client:
            # given jobs that run on one worker, some of which do not stop when they are told to
            first = fleet.start("first", STREAMS_WEB_PORT=str(free_port()))
            holds = [Hold(n=n, latch=str(hold)) for n in held]
            partition = await enqueue(client, *holds)
            stubborn = [
                *(Stubborn(n=n, latch=str(soon)) for n in early),
                *(Stubborn(n=n, latch=str(later)) for n in late),
            ]
            stubborn_partition = await enqueue(client, *stubborn)
            await fleet.until_each("start", "hold", held)
            await fleet.until_each("start", "stubborn", early | late)
            # when another one joins, and takes half of the partitions over
            second = fleet.start("second", STREAMS_WEB_PORT=str(free_port()))

            def moved(found: Lines) -> set[int]:
                there = {partition[n] for n in happened(found, "start", "hold", second)}
                away = {n for n in held if partition[n] in there}
                stubborn_away = {n for n in early | late if stubborn_partition[n] in there}
                return (
                    there
                    if happened(found, "stop", "hold", first) == away
                    and happened(found, "start", "hold", second) == away
                    and happened(found, "stop", "stubborn", first) == stubborn_away
                    and happened(found, "start", "stubborn", second) == stubborn_away
                    else set()
                )

            there = moved(await fleet.until(lambda found: len(moved(found)) == PARTITIONS // 2))
            held_away = {n for n in held if partition[n] in there}
            away = {n for n in early | late if stubborn_partition[n] in there}
            assert early & away, stubborn_partition
            assert late & away, stubborn_partition
            assert early - away, stubborn_partition
            assert late - away, stubborn_partition
            # and all of the jobs arrive once more
            await enqueue(client, *holds)
            await first.until_figure(DUPLICATES, len(held - held_away))
            await second.until_figure(DUPLICATES, len(held_away))

        async def settled(numbers: set[int]) -> set[int]:
            over = {"stubborn": numbers}
            topics = await Topics.until_settled(
                kafka, prefix, over, fleet.logs, partitions=PARTITIONS
            )
            return set(topics.settled("stubborn"))

        # then what ends where its partition no longer is does not count
        soon.with_name(f"soon-{first.pid}").touch()
        await fleet.until_each("end", "stubborn", early, in_=first)
        assert await settled(early - away) == early - away
        # neither before nor after it has ended where the partition is
        soon.with_name(f"soon-{second.pid}").touch()
        later.with_name(f"later-{second.pid}").touch()
        await fleet.until_each("end", "stubborn", away, in_=second)
        assert await settled(early | away) == early | away
        later.with_name(f"later-{first.pid}").touch()
        await fleet.until_each("end", "stubborn", late, in_=first)
        assert await settled(early | late) == early | late
        # and what ran on partitions that came back was not disturbed
        hold.touch()
        await fleet.until_each("end", "hold", held)
        await Topics.until_settled(kafka, prefix, {"hold": held}, fleet.logs, partitions=PARTITIONS)
        seen, seen_stubborn = by_job(fleet, "hold"), by_job(fleet, "stubborn")
    stayed = ["start in first", "end in first"]
    for n in held - held_away:
        assert seen[n] == stayed
    for n in held_away:  # in no order, as two tell of it
        assert sorted(seen[n]) == [
            "end in second",
            "start in first",
            "start in second",
            "stop in first",
        ]
    for n in (early | late) - away:
        assert seen_stubborn[n] == stayed
    for n in away:
        assert sorted(seen_stubborn[n]) == [
            "end in first",
            "end in second",
            "start in first",
            "start in second",
            "stop in first",
        ]
    # and every job is settled once, by the owner of its partition
    topics = await Topics.read(kafka, prefix, partitions=PARTITIONS)
    for name, all_of_it, gone in (("hold", held, held_away), ("stubborn", early | late, away)):
        records = topics.settled(name)
        assert records.keys() == all_of_it
        for n in all_of_it:
            (record,) = records[n]  # one
            owner = second if n in gone else first
            assert record.state == "completed"
            assert record.history[-1].worker.endswith(f"-{owner.pid}"), (n, record)
    assert not topics.dead


def known_here(folder: Path, prefix: str, instance: str) -> None:
    """Let a worker of this folder find state of its name, or it waits until a session is over."""
    state = folder / "data" / "state" / prefix / "workers"
    (state / f"instance-{instance}").mkdir(parents=True)


async def enqueue(client: JobClient, *jobs: Hold | Stubborn) -> dict[int, int]:
    """Enqueue them, with their numbers as ids; returns the partition of each."""
    handles = await client.enqueue_many(jobs, id=lambda job: str(job.n))  # type: ignore[attr-defined]
    return {job.n: handle.partition for job, handle in zip(jobs, handles, strict=True)}


def by_job(fleet: Fleet, name: str) -> dict[int, list[str]]:
    """What happened to each job of this name, and in which worker, in its order."""
    names = {str(pid): worker.name for worker in fleet.workers.values() for pid in worker.pids}
    found: dict[int, list[str]] = defaultdict(list)
    for what, job, _, number, pid in fleet.lines:
        if job == name:
            found[int(number)].append(f"{what} in {names[pid]}")
    return dict(found)
