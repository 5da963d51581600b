"""The version of the distribution that is installed."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version
from typing import Final


def _installed() -> str:
    try:
        return version("jobstreams")
    except PackageNotFoundError:  # run from a checkout that was never installed
        return "0+unknown"


VERSION: Final = _installed()
