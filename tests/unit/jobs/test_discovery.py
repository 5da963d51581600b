"""Handlers are found in the modules that settings or pyproject.toml name."""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest

from streams.errors import HandlerImportError, RegistrationError, SettingsError
from streams.jobs.discovery import handler_modules, load_handlers
from streams.jobs.registry import Registry

HANDLER = """
from __future__ import annotations
from streams import job

@job(name="{name}")
async def handle(n: int) -> None: ...
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Where a worker is started; modules imported from it are forgotten afterwards."""
    before = set(sys.modules)
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    for name in set(sys.modules) - before:
        if name.split(".")[0] == "shop":
            del sys.modules[name]


def write(path: Path, text: str = "") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(textwrap.dedent(text))


def test_a_package_is_searched_with_all_its_submodules(folder: Path) -> None:
    write(folder / "shop/__init__.py")
    write(folder / "shop/mail.py", HANDLER.format(name="mail"))
    write(folder / "shop/deep/__init__.py", "from shop.mail import handle")
    write(folder / "shop/deep/reports.py", HANDLER.format(name="reports"))
    write(folder / "shop/__main__.py", "raise SystemExit('a program, not a handler')")

    found = load_handlers(["shop"])

    assert sorted(definition.name for definition in found) == ["mail", "reports"]
    [mail] = [definition for definition in found if definition.name == "mail"]
    assert mail.file == str(folder / "shop/mail.py")


def test_one_module_only(folder: Path) -> None:
    write(folder / "shop/__init__.py")
    write(folder / "shop/mail.py", HANDLER.format(name="mail"))
    write(folder / "shop/reports.py", HANDLER.format(name="reports"))

    assert [definition.name for definition in load_handlers(["shop.mail"])] == ["mail"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("1 / 0", "ZeroDivisionError"),
        ("import nowhere_to_be_found", "No module named 'nowhere_to_be_found'"),
        ("def (", "SyntaxError"),
        ("raise SystemExit(3)", "SystemExit"),
    ],
)
def test_a_module_that_does_not_import_shows_its_own_trace(
    folder: Path, text: str, said: str
) -> None:
    write(folder / "shop/__init__.py")
    write(folder / "shop/mail.py", text)

    with pytest.raises(HandlerImportError) as raised:
        load_handlers(["shop"])

    assert "handlers in 'shop.mail' can't be imported" in str(raised.value)
    assert said in str(raised.value)
    assert str(folder / "shop/mail.py") in str(raised.value)


def test_a_module_that_is_not_there(folder: Path) -> None:
    with pytest.raises(HandlerImportError, match="No module named 'shop'"):
        load_handlers(["shop"])


def test_what_settings_name_comes_before_pyproject(folder: Path) -> None:
    write(folder / "pyproject.toml", '[tool.streams]\nhandlers = ["agents", "more"]')

    assert handler_modules(["shop"], folder) == ("shop",)
    assert handler_modules([], folder) == ("agents", "more")


@pytest.mark.parametrize("text", [None, "", "[tool.streams]\nhandlers = []"])
def test_no_handlers_named_says_where_to_name_them(folder: Path, text: str | None) -> None:
    if text is not None:
        write(folder / "pyproject.toml", text)

    with pytest.raises(SettingsError, match=r"STREAMS_HANDLERS=.*\[tool.streams\] handlers ="):
        handler_modules([], folder)


@pytest.mark.parametrize("text", ['[tool.streams]\nhandlers = "agents"', "[tool.streams", "\xff"])
def test_a_pyproject_that_makes_no_sense(folder: Path, text: str) -> None:
    (folder / "pyproject.toml").write_bytes(text.encode("latin-1"))

    with pytest.raises(SettingsError, match=r"pyproject.toml"):
        handler_modules([], folder)


METHODS = """
from streams import job

class Mailer:
    @job
    async def send(self, address: str) -> None: ...

    @staticmethod
    @job
    async def post(address: str) -> None: ...
"""


def test_methods_are_found_so_that_they_are_told(folder: Path) -> None:
    write(folder / "shop/__init__.py")
    write(folder / "shop/mail.py", METHODS)

    with pytest.raises(RegistrationError) as raised:
        Registry.build(load_handlers(["shop"]), ["default"])

    lines = str(raised.value).splitlines()
    place = folder / "shop/mail.py"
    assert [line.split(": ")[:2] for line in lines] == [
        [f"{place}:5", "shop.mail.Mailer.send"],
        [f"{place}:8", "shop.mail.Mailer.post"],
    ]
    assert all("make it a function of the module" in line for line in lines)
