"""Finds handlers: imports the modules that settings or pyproject.toml name."""

from __future__ import annotations

import importlib
import pkgutil
import sys
import tomllib
import traceback
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

from streams.errors import HandlerImportError, SettingsError
from streams.jobs.definition import JobDefinition


def handler_modules(named: Sequence[str], folder: Path | None = None) -> tuple[str, ...]:
    """The modules to import: `named` (STREAMS_HANDLERS), else `[tool.streams] handlers`.

    Raises:
        SettingsError: neither names any, or pyproject.toml makes no sense.
    """
    if named:
        return tuple(named)
    pyproject = (folder or Path.cwd()) / "pyproject.toml"
    if pyproject.exists():
        handlers = _named_in(pyproject)
        if handlers:
            return handlers
    raise SettingsError(
        "no handlers are named: set STREAMS_HANDLERS=package.module, or write "
        '[tool.streams] handlers = ["package"] into pyproject.toml'
    )


def load_values(modules: Sequence[str]) -> list[Any]:
    """Import modules, and all submodules of packages; what is in them, handlers among it.

    Raises:
        HandlerImportError: one does not import; the message has its trace.
    """
    _look_here()
    return [
        value for name in modules for module in _with_submodules(name) for value in _values(module)
    ]


def handlers_among(values: Iterable[Any]) -> list[JobDefinition]:
    """The definitions among the values of modules, each once."""
    found: dict[int, JobDefinition] = {}
    for value in values:
        definition = getattr(value, "__job_definition__", None)
        if isinstance(definition, JobDefinition):
            found[id(definition)] = definition
    return list(found.values())


def load_handlers(modules: Sequence[str]) -> list[JobDefinition]:
    """Import modules, and all submodules of packages; the definitions made in them.

    Raises:
        HandlerImportError: one does not import; the message has its trace.
    """
    return handlers_among(load_values(modules))


def load_named(name: str) -> Any:
    """What `package.module:name` stands for.

    Raises:
        SettingsError: it does not say where to look, or nothing of that name is there.
        HandlerImportError: the module does not import.
    """
    module, _, attribute = name.partition(":")
    if not module or not attribute:
        raise SettingsError(f"{name!r} names nothing in a module: write package.module:name")
    _look_here()
    try:
        return getattr(_import(module), attribute)
    except AttributeError:
        raise SettingsError(f"{name!r}: {module} has no {attribute}") from None


def _look_here() -> None:
    """Modules of the application are found from where the worker was started."""
    if str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))


def _values(module: ModuleType) -> Iterator[Any]:
    for value in vars(module).values():
        yield value
        # A method is no handler, which is told at start-up: it has to be found for that.
        if isinstance(value, type) and value.__module__ == module.__name__:
            for member in vars(value).values():
                yield getattr(member, "__func__", member)


def _named_in(pyproject: Path) -> tuple[str, ...]:
    try:
        handlers = tomllib.loads(pyproject.read_text("utf-8"))
        handlers = handlers.get("tool", {}).get("streams", {}).get("handlers", [])
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError(f"{pyproject} can't be read: {error}") from None
    if not isinstance(handlers, list) or not all(isinstance(name, str) for name in handlers):
        raise SettingsError(
            f"{pyproject}: [tool.streams] handlers = {handlers!r} is no list of modules: "
            'write handlers = ["package"]'
        )
    return tuple(handlers)


def _with_submodules(name: str) -> list[ModuleType]:
    module = _import(name)
    modules = [module]
    for path in getattr(module, "__path__", []):
        for info in pkgutil.walk_packages([path], prefix=f"{name}."):
            # A __main__ runs a program; it has no handlers to offer.
            if not info.name.endswith(".__main__"):
                modules.append(_import(info.name))
    return modules


def _import(name: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except (Exception, SystemExit) as error:
        # Without what happened to be handled around us, which is the command line's own business.
        told = traceback.format_exception(error, chain=error.__cause__ is not None)
        trace = "".join(told)
        raise HandlerImportError(f"handlers in {name!r} can't be imported:\n{trace}") from error
