"""Large results on real Kafka, in S3's protocol and in a directory."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from cli_process import Cli
from fleet import Fleet
from group import Group
from large_handlers import InProcess, OnLoop
from topics import create_topics

from streams.client import JobClient
from streams.errors import ObjectsUnavailable

SIZE = 5_000_000


@pytest.mark.parametrize("kind", ["s3", "directory"])
async def test_a_large_result_is_read_from_object_storage(
    kind: str,
    kafka: str,
    prefix: str,
    tmp_path: Path,
    request: pytest.FixtureRequest,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    await create_topics(kafka, prefix, queues=("default",))
    where = request.getfixturevalue("s3_bucket") if kind == "s3" else str(tmp_path / "objects")
    monkeypatch.setenv("STREAMS_OBJECTS", where)
    cli = Cli(kafka, prefix, "large_handlers")
    with Fleet(kafka, prefix, tmp_path, handlers="large_handlers") as fleet:
        # given two workers with object storage, and jobs with large results
        fleet.start("a")
        fleet.start("b")
        await Group(kafka, f"{prefix}workers").until_members(2, fleet.logs)
        async with (
            JobClient(kafka, source="test", prefix=prefix, objects=where) as client,
            JobClient(kafka, source="test", prefix=prefix) as elsewhere,
        ):
            # then whoever knows where it is gets them
            expected = {"text": "x" * SIZE}
            for kind_of in (OnLoop, InProcess):
                handles = [await client.enqueue(kind_of(size=SIZE)) for _ in range(4)]
                for handle in handles:
                    assert await handle.result(timeout="60s") == expected
            # and others are told
            other = await elsewhere.enqueue(OnLoop(size=SIZE))
            with pytest.raises(ObjectsUnavailable, match="say where that is"):
                await other.result(timeout="60s")
            # and the command line prints them
            said = await cli.run("jobs", "result", other.id)
            assert json.loads(said.output) == expected
            shown = (await cli.run("jobs", "show", other.id)).output
            assert "5,000,011 bytes in object storage" in shown
        for worker in fleet.running:
            assert worker.stop() == 0, worker.log
