"""What one look of `streams doctor` showed."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One check: what was found, and what to do about it if it is not well."""

    check: str
    is_well: bool
    found: str
    remedy: str = ""
    value: float | None = None  # a figure, in the unit that `found` says
