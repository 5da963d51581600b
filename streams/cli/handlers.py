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
