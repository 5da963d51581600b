"""The entry point of the command `streams`: says what is missing where only the client is there."""

from __future__ import annotations

import sys
from importlib.util import find_spec

# Of the extra `worker`: what some command imports.
_NEEDED = (
    "typer",
    "rich",
    "pydantic_settings",
    "structlog",
    "prometheus_client",
    "faust",
    "rocksdict",
    "uvloop",
)


def main() -> None:
    """Run one command of `streams`."""
    missing = [name for name in _NEEDED if find_spec(name) is None]
    if missing:
        print(
            f"streams: {', '.join(missing)} not installed; a service that sends jobs needs nothing "
            'more, workers and this command do: pip install "jobstreams[worker]"',
            file=sys.stderr,
        )
        sys.exit(2)
    from streams.cli import main as run

    run()


if __name__ == "__main__":
    main()
