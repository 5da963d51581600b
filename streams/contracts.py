"""Contracts of events and jobs: plain pydantic models that also say where they go."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict

from streams.sensitive import Sensitive

__all__ = ["Event", "JobPayload", "Key", "Sensitive"]

Key = str | Callable[[Any], Any] | None


class _Contract(BaseModel):
    # What does not fit may be secret: no error is to show it.
    model_config = ConfigDict(hide_input_in_errors=True)

    __key__: ClassVar[Key] = None
    __key_scope__: ClassVar[str | None] = None

    def __init_subclass__(
        cls, *, key: Key = None, key_scope: str | None = None, **unknown: Any
    ) -> None:
        if unknown:  # pydantic would leave a misspelt one alone
            raise TypeError(f"{cls.__name__}: unknown class arguments: {', '.join(unknown)}")
        super().__init_subclass__()
        if not (key is None or isinstance(key, str) or callable(key)):
            raise TypeError(f"{cls.__name__}: key={key!r}: name a field, or give a function")
        # What a subclass does not say again, it inherits.
        if key is not None:
            cls.__key__ = key if isinstance(key, str) else staticmethod(key)
        if key_scope is not None:
            cls.__key_scope__ = key_scope

    @classmethod
    def __pydantic_init_subclass__(cls, **kwargs: Any) -> None:
        key = cls.__key__
        if isinstance(key, str) and key not in cls.model_fields:
            fields = ", ".join(cls.model_fields) or "none"
            raise TypeError(f"{cls.__name__}: key={key!r} is not one of its fields ({fields})")

    def ordering_key(self) -> str | None:
        """The ordering key without its scope; None if there is none."""
        key = type(self).__key__
        if key is None:
            return None
        value = getattr(self, key) if isinstance(key, str) else key(self)
        return None if value is None else str(value)


class Event(_Contract):
    """A fact that any number of definitions may subscribe to; one topic for each type.

    Class arguments: `type`; `key`, the ordering key's field or a function of the model;
    `key_scope`, which lets several job names share the order of their keys.
    """

    __event_type__: ClassVar[str] = ""

    def __init_subclass__(
        cls, *, type: str = "", key: Key = None, key_scope: str | None = None, **kwargs: Any
    ) -> None:
        super().__init_subclass__(key=key, key_scope=key_scope, **kwargs)
        cls.__event_type__ = type or cls.__event_type__


class JobPayload(_Contract):
    """A request for one job; its queue is part of the contract, since the sender must know it.

    Class arguments: `name`, `queue`, `key`, `key_scope`; see `Event`.
    """

    __job_name__: ClassVar[str] = ""
    __queue__: ClassVar[str] = "default"

    def __init_subclass__(
        cls,
        *,
        name: str = "",
        queue: str = "",
        key: Key = None,
        key_scope: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init_subclass__(key=key, key_scope=key_scope, **kwargs)
        cls.__job_name__ = name or cls.__job_name__
        cls.__queue__ = queue or cls.__queue__
