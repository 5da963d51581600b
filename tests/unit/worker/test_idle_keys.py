"""Keys of which nothing runs cost disk, not memory: `make test-long` has ten million of them."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = Path(__file__).parent / "idle_keys.py"
FEW = 10_000
MORE_MB = 150  # than with few of them, whatever there are


def run(what: str, folder: Path, count: int) -> dict[str, float]:
    """What a process of its own saw: memory that another one used must not count."""
    done = subprocess.run(
        [sys.executable, str(PROGRAM), what, str(folder), str(count)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)  # type: ignore[no-any-return]


@pytest.mark.parametrize(
    "count",
    [
        pytest.param(50_000),
        pytest.param(10_000_000, marks=[pytest.mark.long, pytest.mark.timeout(1_800)]),
    ],
)
def test_a_worker_with_many_idle_unique_keys_needs_little_more_memory_than_one_with_few(
    tmp_path: Path, count: int
) -> None:
    seen = {}
    for keys in (FEW, count):
        folder = tmp_path / str(keys)
        try:
            # given the state that a recovery makes of a ledger in which each job has its own key
            built = run("build", folder, keys)
            on_disk = sum(path.stat().st_size for path in folder.rglob("*")) / 1024**2
            # when a worker opens it, it still knows each of them, and admits what is new
            looked = run("look", folder, keys)
        finally:
            shutil.rmtree(folder, ignore_errors=True)  # it is large, and pytest would keep it
        seen[keys] = built, looked
        print(
            f"\n{keys} keys: built in {built['seconds']:.1f} s with {built['rss']:.0f} MB (at most"
            f" {built['peak']:.0f}), {on_disk:.0f} MB on disk; opened in {looked['opened']:.2f} s"
            f" with {looked['rss']:.0f} MB (at most {looked['peak']:.0f}), {looked['look_us']:.0f}"
            " us for a look"
        )
        assert on_disk < 1_000 + keys / 2_000  # MB: half a kilobyte for a key, and some logs
    # then neither of these took memory for each key
    for few, many in zip(seen[FEW], seen[count], strict=True):
        assert many["rss"] <= few["rss"] + MORE_MB
        assert many["peak"] <= few["peak"] + MORE_MB
