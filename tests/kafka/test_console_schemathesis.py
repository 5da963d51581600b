"""Whatever fits the OpenAPI document, and what does not, is answered as it says; never with 500."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from console_process import ConsoleProcess
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    negative_data_rejection,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
    unsupported_method,
)
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


CHOSEN: list[Any] = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    negative_data_rejection,
    unsupported_method,
]
SETTINGS = settings(
    max_examples=20,
    deadline=None,
    derandomize=True,
    phases=(Phase.explicit, Phase.generate),
    suppress_health_check=list(HealthCheck),
    database=None,
)


@pytest.mark.timeout(400)
@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE])
def test_each_answer_is_as_the_document_says(console: ConsoleProcess, mode: GenerationMode) -> None:
    schema = schemathesis.openapi.from_url(f"{console.url}/openapi.json")
    failed: list[str] = []
    asked = 0
    for found in schema.get_all_operations():
        operation = found.ok()
        asked += 1

        @SETTINGS
        @given(case=operation.as_strategy(generation_mode=mode))
        def check(case: schemathesis.Case) -> None:
            if case.query and "wait" in case.query:
                case.query["wait"] = "0s"  # else whatever it makes up is waited for
            case.call_and_validate(checks=CHOSEN, timeout=30)

        try:
            check()
        except Unsatisfiable:
            continue  # nothing can be wrong about it
        except Exception as error:
            failed.append(f"{operation.label}: {error}")
    assert asked > 25
    assert not failed, "\n\n".join(failed)
