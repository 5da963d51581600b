"""What the documentation says is so: its settings, its links, and its examples."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from streams.observe.metrics import WorkerMetrics
from streams.settings import Settings

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
STARTED = ROOT / "docs" / "getting-started.md"


def test_the_table_of_settings_names_each_and_no_other() -> None:
    text = (ROOT / "docs" / "operations.md").read_text()
    table = text.partition("## Settings")[2].partition("\n## ")[0]
    named = re.findall(r"^\| `([A-Z_]+)` \|", table, re.M)

    wanted = {
        str(field.validation_alias or f"STREAMS_{name.upper()}")
        for name, field in Settings.model_fields.items()
    }
    assert set(named) == wanted
    assert len(named) == len(wanted)


def test_the_defaults_in_the_table_are_those_of_the_settings() -> None:
    text = (ROOT / "docs" / "operations.md").read_text()
    told = dict(re.findall(r"^\| `STREAMS_([A-Z_]+)` \| `([^`]+)` \|", text, re.M))

    for name, default in told.items():
        if name != "HANDLERS":  # said by pyproject.toml where no variable says it
            value = Settings.model_fields[name.lower()].default
            shown = ",".join(value) if isinstance(value, tuple) else str(value)
            assert (name, default) == (name, shown.lower() if shown == "True" else shown)


def test_the_table_of_series_names_each_and_no_other() -> None:
    text = (ROOT / "docs" / "operations.md").read_text()
    table = text.partition("### Metrics and health")[2].partition("\n### ")[0]
    named = re.findall(r"^\| `(streams_[a-z_]+)` \|", table, re.M)

    families = WorkerMetrics(names=[]).registry.collect()
    there = [f.name + ("_total" if f.type == "counter" else "") for f in families]
    assert sorted(named) == sorted(name for name in there if name.startswith("streams_"))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", page.read_text()):
        if "://" not in target:
            assert (page.parent / target).exists(), target


def test_the_first_steps_work_as_they_are_written(tmp_path: Path) -> None:
    blocks = re.findall(r"```python\n# (\S+)\n(.*?)```", STARTED.read_text(), re.S)
    files = dict(blocks)
    assert set(files) == {
        "shop/contracts.py",
        "shop/handlers.py",
        "send.py",
        "web.py",
        "test_shop.py",
    }
    for name, text in files.items():
        compile(text, name, "exec")
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    (tmp_path / "shop" / "__init__.py").touch()
    (tmp_path / "pytest.ini").write_text("[pytest]\nasyncio_mode = auto\n")

    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "test_shop.py"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stdout
    assert "2 passed" in done.stdout
