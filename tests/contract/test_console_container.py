"""The container of the console: its token is found again, whatever became of its log."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from streams.console.access.tokens import found, read_tokens
from streams.settings import Settings

SCRIPT = Path(__file__).parents[2] / "deploy" / "container" / "console.sh"


class Container:
    """One that starts again and again with its volume; in the place of the console it is done."""

    def __init__(self, folder: Path) -> None:
        self.volume = folder / "volume"
        self.volume.mkdir()
        self.token, self.entries = self.volume / "console-token", self.volume / "console-tokens"
        self._path = folder / "bin"
        self._path.mkdir()
        python = self._path / "python"
        # All but the last command of the script is what it is in the image.
        python.write_text(
            '#!/bin/sh\nif [ "$4" = token ]; then exec ' + sys.executable + ' "$@"; fi\n'
            'echo "console with $STREAMS_CONSOLE_TOKENS_FILE $STREAMS_CONSOLE_TOKENS: $*"\n'
        )
        python.chmod(0o755)

    def start(self, **variables: str) -> str:
        """What it says."""
        environment = {
            **{name: value for name, value in os.environ.items() if "STREAMS" not in name},
            "PATH": f"{self._path}:{os.environ['PATH']}",
            "STREAMS_DATA_DIR": str(self.volume),
            **variables,
        }
        said = subprocess.run(
            ["sh", str(SCRIPT)],
            capture_output=True, text=True, timeout=60, check=True, env=environment,
            cwd=SCRIPT.parents[2],
        )  # fmt: skip
        return said.stdout + said.stderr

    def is_let_in(self, token: str) -> bool:
        """Whether the entries have it."""
        tokens = read_tokens(Settings(console_tokens_file=str(self.entries)))
        return found(tokens, token) is not None


@pytest.fixture
def container(tmp_path: Path) -> Container:
    return Container(tmp_path)


def test_the_first_token_is_kept_for_its_owner_and_in_no_log(container: Container) -> None:
    first = container.start()
    token = container.token.read_text().strip()
    assert container.is_let_in(token)
    assert f"cat {container.token}" in first
    assert token not in first
    assert f"console with {container.entries}" in first
    for file in (container.token, container.entries):
        assert file.stat().st_mode & 0o777 == 0o600
    # another container with the same volume says where it is
    again = container.start()
    assert container.token.read_text().strip() == token
    assert f"cat {container.token}" in again
    assert container.is_let_in(token)


def test_a_token_that_was_removed_is_made_anew_and_others_stay(container: Container) -> None:
    container.start()
    old = container.token.read_text().strip()
    (entry,) = container.entries.read_text().splitlines()
    container.entries.write_text(f"{entry}\n{entry.replace('operator', 'prometheus')}\n")
    container.token.unlink()

    container.start()

    new = container.token.read_text().strip()
    assert new != old
    assert container.is_let_in(new)
    names = re.findall(r"^(\w+):", container.entries.read_text(), re.M)
    assert names == ["prometheus", "operator"]
    assert entry not in container.entries.read_text()


def test_tokens_of_its_own_are_taken_as_they_are(container: Container) -> None:
    said = container.start(STREAMS_CONSOLE_TOKENS="web:read:abc")
    assert "console with  web:read:abc" in said
    assert not container.token.exists()
