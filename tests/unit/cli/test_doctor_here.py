"""What `streams doctor` says of settings, handlers, disk and object storage."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from streams.cli import doctor_here
from streams.cli.doctor_here import (
    look_at_disk,
    look_at_handlers,
    look_at_objects,
    look_at_settings,
)
from streams.settings import Settings


@pytest.fixture(autouse=True)
def _no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(doctor_here.os.environ):
        if name.startswith(("STREAMS_", "CRON_SECRET")):
            monkeypatch.delenv(name)


def test_settings_that_make_sense_are_well() -> None:
    settings, finding = look_at_settings([])
    assert settings is not None
    assert (finding.is_well, finding.found) == (True, "queues critical, default, bulk")


def test_a_variable_that_is_no_setting_is_named_with_the_one_that_it_is_like() -> None:
    _, finding = look_at_settings(["STREAMS_QUEUE", "STREAMS_XYZ", "PATH"])
    assert not finding.is_well
    assert "STREAMS_QUEUE, STREAMS_XYZ" in finding.found
    assert "did you mean STREAMS_QUEUES?" in finding.remedy


@pytest.mark.parametrize(
    ("variables", "found"),
    [
        ({"STREAMS_CONCURRENCY": "many"}, "STREAMS_CONCURRENCY"),
        ({"STREAMS_LISTED_COMPLETED": "24h"}, "STREAMS_LISTED_COMPLETED"),
        ({"STREAMS_LISTED_FAILED": "none=1h/5"}, "not in STREAMS_QUEUES"),
        ({"STREAMS_SERVES": "other"}, "not in STREAMS_QUEUES"),
        ({"STREAMS_UNIQUE_FOR": "7d"}, "longer than STREAMS_LEDGER_KEPT"),
        ({"CRON_SECRET": "a", "CRON_SECRET_FILE": "/none"}, "both set"),
        ({"CRON_SECRET_FILE": "/none"}, "can't be read"),
    ],
)
def test_settings_that_contradict_are_said(
    variables: dict[str, str], found: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    _, finding = look_at_settings([])
    assert not finding.is_well
    assert found in finding.found
    assert finding.remedy


def test_a_secret_is_never_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CRON_SECRET", "hush-hush")
    monkeypatch.setenv("CRON_SECRET_FILE", "/none")
    _, finding = look_at_settings([])
    assert "hush" not in str(finding)


@pytest.mark.parametrize(
    ("content", "found"),
    [
        ("import nothing_of_this_name", "nothing_of_this_name"),
        (
            "from streams import JobPayload, job\n"
            "class A(JobPayload, name='a', queue='unheard'): ...\n"
            "@job\nasync def a(payload: A) -> None: ...\n",
            "unheard",
        ),
    ],
)
def test_handlers_that_no_worker_could_run_are_said(
    content: str, found: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = f"ill_handlers_{len(content)}"
    (tmp_path / f"{name}.py").write_text(content)
    monkeypatch.syspath_prepend(tmp_path)
    registry, finding = look_at_handlers(Settings(handlers=(name,)))
    assert registry is None
    assert not finding.is_well
    assert found in finding.found


def test_handlers_that_load_are_counted() -> None:
    registry, finding = look_at_handlers(Settings(handlers=("agents",)))
    assert registry is not None
    assert finding.is_well
    assert finding.value and finding.value > 0


def test_without_handlers_it_says_how_to_name_some(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    _, finding = look_at_handlers(Settings())
    assert not finding.is_well
    assert "STREAMS_HANDLERS" in finding.found


def test_a_disk_with_room_is_well_though_the_directory_is_not_there_yet(tmp_path: Path) -> None:
    finding = look_at_disk(Settings(data_dir=str(tmp_path / "a" / "b")))
    assert finding.is_well
    assert not (tmp_path / "a").exists()


def test_a_disk_that_is_full_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    full = shutil._ntuple_diskusage(10**12, 10**12, 10**6)
    monkeypatch.setattr(doctor_here.shutil, "disk_usage", lambda path: full)
    finding = look_at_disk(Settings(data_dir=str(tmp_path)))
    assert (finding.is_well, finding.value) == (False, 0.0)
    assert "STREAMS_DATA_DIR" in finding.remedy


def test_a_directory_that_is_none_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    finding = look_at_disk(Settings(data_dir=str(tmp_path / "file" / "x")))
    assert not finding.is_well
    assert "can't be written" in finding.found


async def test_objects_are_written_read_and_removed(tmp_path: Path) -> None:
    finding = await look_at_objects(Settings(objects=str(tmp_path / "objects")))
    assert finding.is_well, finding.found
    assert not [path for path in (tmp_path / "objects").rglob("*") if path.is_file()]


async def test_objects_in_a_bucket_are_looked_at_as_well(s3_bucket: str) -> None:
    assert (await look_at_objects(Settings(objects=s3_bucket))).is_well


async def test_a_store_that_can_not_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    finding = await look_at_objects(Settings(objects=str(tmp_path / "file" / "x")))
    assert not finding.is_well
    assert "STREAMS_OBJECTS" in finding.remedy
