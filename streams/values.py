"""Values that are made by the ten thousand a second: frozen for type checkers, cheap to make.

`dataclass(frozen=True)` sets each field through `object.__setattr__`: for a value of 14 fields that
takes longer than all else that is done to it. To a type checker `immutable` is `dataclass`, so that
it refuses assignments; at runtime the class has the same equality and hash, and just does not.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dataclasses import dataclass as immutable
else:
    from dataclasses import dataclass

    def immutable(*, frozen: bool, **options: Any) -> Any:
        """As `dataclass(frozen=True)`, whose values must not be changed either."""
        assert frozen, "what is to be changed is a plain dataclass"
        return dataclass(unsafe_hash=True, **options)


__all__ = ["immutable"]
