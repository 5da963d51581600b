"""A real Prometheus and its promtool: those of this machine, or Debian's, downloaded once.

Debian's package is unpacked into the user's cache: nothing is installed, no service is started.
"""

from __future__ import annotations

import asyncio
import json
import math
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self
from urllib.error import HTTPError, URLError
from urllib.parse import urlencode
from urllib.request import urlopen

from streams.dev.cache import cache_folder, only_one
from streams.dev.children import end, spawn
from streams.dev.ports import free_port

NAMES = ("prometheus", "promtool")


class PrometheusUnavailable(Exception):
    """There is none, and it could not be downloaded."""


@dataclass(frozen=True)
class Programs:
    """Where the two programs are."""

    prometheus: str
    promtool: str


def programs() -> Programs:
    """Those on the path, else those of an earlier time, else downloaded ones.

    Raises:
        PrometheusUnavailable: neither is to be had; it says what to do.
    """
    found = [shutil.which(name) for name in NAMES]
    if all(found):
        return Programs(*map(str, found))
    folder = cache_folder() / "prometheus"
    with only_one(folder.with_suffix(".lock")):
        if not all((folder / name).exists() for name in NAMES):
            print("getting Prometheus (the first time only)", file=sys.stderr, flush=True)
            _unpack_into(folder)
    return Programs(*(str(folder / name) for name in NAMES))


def _unpack_into(folder: Path) -> None:
    partial = folder.with_suffix(".partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir()
    with tempfile.TemporaryDirectory(dir=partial.parent) as place:
        package = _download(Path(place))
        unpacked = Path(place) / "unpacked"
        _run("dpkg-deb", "--extract", str(package), str(unpacked), cwd=place)
        for name in NAMES:
            shutil.move(unpacked / "usr" / "bin" / name, partial / name)
    shutil.rmtree(folder, ignore_errors=True)
    partial.replace(folder)


def _download(place: Path) -> Path:
    """Debian's package, by this machine's lists of packages, or by lists of our own."""
    try:
        _run("apt-get", "download", "prometheus", cwd=str(place))
    except PrometheusUnavailable:  # lists that are missing or old; ours need no rights
        state, cache = place / "state", place / "cache"
        (state / "partial").mkdir(parents=True)
        (cache / "archives" / "partial").mkdir(parents=True)
        options = ("-o", f"Dir::State::lists={state}", "-o", f"Dir::Cache={cache}")
        _run("apt-get", *options, "update", cwd=str(place))
        _run("apt-get", *options, "download", "prometheus", cwd=str(place))
    [package] = place.glob("prometheus_*.deb")
    return package


def _run(*command: str, cwd: str) -> None:
    try:
        subprocess.run(command, cwd=cwd, check=True, capture_output=True, text=True, timeout=120)
    except (OSError, subprocess.SubprocessError) as error:
        said = str(getattr(error, "stderr", "") or error).strip()
        raise PrometheusUnavailable(
            f"Prometheus is not on the path, and Debian's package could not be had "
            f"({' '.join(command[:1])}: {said[-400:]}): install prometheus and promtool, or try "
            "again when the network is there"
        ) from error


class Prometheus:
    """A server on loopback that scrapes its targets every second, until it is closed."""

    def __init__(self, found: Programs, folder: Path, targets: list[str]) -> None:
        self._program = found.prometheus
        self._folder = folder
        self._targets = targets
        self._url = ""
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        port = free_port()
        self._url = f"http://127.0.0.1:{port}"
        self._folder.mkdir(parents=True, exist_ok=True)
        config = self._folder / "prometheus.yml"
        settings = {
            "global": {"scrape_interval": "1s", "scrape_timeout": "1s"},
            "scrape_configs": [
                {"job_name": "workers", "static_configs": [{"targets": self._targets}]}
            ],
        }
        config.write_text(json.dumps(settings))  # which is YAML, too
        with (self._folder / "prometheus.log").open("wb") as output:
            self._process = spawn(
                [
                    self._program,
                    f"--config.file={config}",
                    f"--storage.tsdb.path={self._folder / 'data'}",
                    f"--web.listen-address=127.0.0.1:{port}",
                ],
                output=output,
            )
        return self

    def __exit__(self, *_: object) -> None:
        if self._process is not None:
            end(self._process, 10)

    async def query(self, expr: str) -> list[dict[str, Any]]:
        """What it answers now: each series with its value.

        Raises:
            AssertionError: it does not take the query.
        """
        return await asyncio.to_thread(self._query, expr)

    async def values(self, expr: str) -> list[float]:
        """The values of its series now, those left out that are no numbers."""
        values = [float(series["value"][1]) for series in await self.query(expr)]
        return [value for value in values if math.isfinite(value)]

    async def until(self, expr: str, timeout_s: float = 30) -> list[float]:
        """The values, once there are some."""
        limit = time.monotonic() + timeout_s
        while not (found := await self.values(expr)):
            assert time.monotonic() < limit, f"no data in {timeout_s} s: {expr}\n{self.log}"
            await asyncio.sleep(0.1)
        return found

    def _query(self, expr: str) -> list[dict[str, Any]]:
        try:
            with urlopen(f"{self._url}/api/v1/query?{urlencode({'query': expr})}", timeout=10) as a:
                answer = json.load(a)
        except HTTPError as error:
            if error.code == 503:
                return []  # it is starting
            raise AssertionError(f"{expr}: {error.read().decode()}") from None
        except URLError:
            assert self._process is not None
            assert self._process.poll() is None, self.log
            return []
        found: list[dict[str, Any]] = answer["data"]["result"]
        return found

    @property
    def log(self) -> str:
        """What it said."""
        return (self._folder / "prometheus.log").read_text(errors="replace")
