"""The handlers that are here, for commands that need them."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from streams.jobs.registry import Registry
    from streams.settings import Settings


def loaded(*, to_run: bool = False) -> tuple[Settings, Registry]:
    """Settings, and the handlers that they name; `to_run`: with the middleware around them.

    Raises:
        SettingsError: they make no sense, or name none.
        HandlerImportError: one can't be imported.
        RegistrationError: they contradict each other.
    """
    from streams.jobs.discovery import handler_modules, load_handlers, load_named
    from streams.jobs.registry import Registry
    from streams.settings import Settings

    settings = Settings()
    handlers = load_handlers(handler_modules(settings.handlers))
    middleware = [load_named(name) for name in settings.middleware] if to_run else []
    return settings, Registry.build(handlers, settings.queues, middleware=middleware)


def known() -> tuple[Settings, Registry]:
    """Settings, and the handlers that they name, if there are any: who looks on needs none.

    Raises:
        SettingsError: settings make no sense.
        HandlerImportError: a module that they name can't be imported.
        RegistrationError: handlers contradict each other.
    """
    from streams.errors import SettingsError
    from streams.jobs.discovery import handler_modules, load_handlers
    from streams.jobs.registry import Registry
    from streams.settings import Settings

    settings = Settings()
    names: tuple[str, ...]
    try:
        names = handler_modules(settings.handlers)
    except SettingsError:
        names = ()
    return settings, Registry.build(load_handlers(names), settings.queues)
