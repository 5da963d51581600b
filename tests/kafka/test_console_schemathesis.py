"""Whatever fits the OpenAPI document, and what does not, is answered as it says; never with 500."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import schemathesis
from console_process import ConsoleProcess
from hypothesis import HealthCheck, Phase, settings
from schemathesis.checks import CHECKS
from topics import create_topics

HANDLERS = "console_handlers"


@pytest.fixture(scope="module")
def console(kafka: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ConsoleProcess]:
    import asyncio
    import uuid

    prefix = f"t{uuid.uuid4().hex[:10]}."
    asyncio.run(create_topics(kafka, prefix, events=("user.signed_up",)))
    with ConsoleProcess(kafka, prefix, HANDLERS, tmp_path_factory.mktemp("schema")) as console:
        yield console


@pytest.fixture
def document(console: ConsoleProcess) -> schemathesis.schemas.BaseSchema:
    return schemathesis.openapi.from_url(f"{console.url}/openapi.json")


schema = schemathesis.pytest.from_fixture("document")
