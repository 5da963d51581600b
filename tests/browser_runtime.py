"""A real browser: Chromium as this machine has it, or Debian's, installed once."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

NAMES = ("chromium", "chromium-browser", "google-chrome")


class BrowserUnavailable(Exception):
    """There is none, and it could not be installed."""


def browser() -> str:
    """Where the browser is; who may install it does, if it is missing.

    Raises:
        BrowserUnavailable: it is not to be had; it says what to do.
    """
    found = next(filter(None, map(shutil.which, NAMES)), None)
    if found is not None:
        return found
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        raise BrowserUnavailable(
            "no Chromium is on the path: install one (on Debian: apt-get install chromium)"
        )
    print("installing Chromium (the first time only)", file=sys.stderr, flush=True)
    for command in (
        ("apt-get", "update", "-q"),
        ("apt-get", "install", "-q", "-y", "--no-install-recommends", "chromium"),
    ):
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            timeout=200,
            env={**os.environ, "DEBIAN_FRONTEND": "noninteractive"},
        )
        if done.returncode != 0:
            raise BrowserUnavailable(
                f"Chromium could not be installed ({' '.join(command)}): {done.stderr[-400:]}"
            )
    found = shutil.which("chromium")
    assert found is not None
    return found
