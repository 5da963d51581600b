"""Object storage: a directory, and S3's protocol over HTTP."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from streams.errors import ObjectsUnavailable
from streams.wire.objects import StoredObjects, open_objects


@pytest.fixture(params=["directory", "s3"])
def objects(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[StoredObjects]:
    if request.param == "directory":
        yield open_objects(str(tmp_path / "deep" / "objects"))
    else:
        yield open_objects(request.getfixturevalue("s3_bucket"))


async def test_what_is_put_can_be_read_and_replaced(objects: StoredObjects):
    await objects.put("results/a.json", b"1")
    await objects.put("results/a.json", b"22")
    assert await objects.get("results/a.json") == b"22"


async def test_what_is_not_there_is_an_error_of_its_own(objects: StoredObjects):
    with pytest.raises(FileNotFoundError):
        await objects.get("results/none.json")


async def test_what_is_old_is_swept(objects: StoredObjects):
    await objects.put("results/a.json", b"1")
    await objects.put("results/b.json", b"2")
    await objects.put("other/c.json", b"3")
    hour = 60 * 60 * 1000
    now = time.time_ns() // 1_000_000
    assert await objects.sweep("results/", now - hour) == 0
    assert await objects.sweep("results/", now + hour) == 2
    with pytest.raises(FileNotFoundError):
        await objects.get("results/a.json")
    assert await objects.get("other/c.json") == b"3"


async def test_a_store_that_does_not_answer_is_an_os_error(
    objects: StoredObjects, monkeypatch: pytest.MonkeyPatch
):
    from obstore.exceptions import GenericError

    class Silent:
        def put(self, path: str, value: bytes) -> None:
            raise GenericError("Generic S3 error: connection refused\n\nDebug source: ...")

    monkeypatch.setattr(objects, "_store", Silent())
    with pytest.raises(OSError, match=r"^object storage: Generic S3 error: connection refused$"):
        await objects.put("results/a.json", b"1")


def test_what_makes_no_sense_is_an_error_that_says_what_to_give():
    with pytest.raises(ObjectsUnavailable, match="give a directory, or a URL such as s3://"):
        open_objects("nonsense://x")
