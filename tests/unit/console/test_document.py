"""The OpenAPI document: each call has its errors, its scope and its form."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from streams.console.app import make_app
from streams.console.console import Console
from streams.jobs.registry import Registry
from streams.settings import Settings


@pytest.fixture
async def document(tmp_path: Path) -> dict[str, Any]:
    console = Console(Settings(data_dir=str(tmp_path)), Registry.build([], ("default",)))
    return make_app(console).openapi()


async def test_each_call_tells_its_answers_its_problems_and_its_scope(
    document: dict[str, Any],
) -> None:
    operations = {
        f"{method.upper()} {path}": operation
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    }
    assert len(operations) > 25
    problem = {"$ref": "#/components/schemas/Problem"}
    for name, operation in operations.items():
        responses = operation["responses"]
        assert any(status.startswith("2") for status in responses), name
        for status, response in responses.items():
            if status.startswith(("4", "5")):
                told = response["content"]["application/problem+json"]
                assert told["schema"] == problem, (name, status)
        assert {"422", "503"} <= responses.keys(), name
        if not name.endswith((" /live", " /ready")) and " /cron/" not in name:
            assert {"401", "403"} <= responses.keys(), name
            assert "Needs the scope" in operation["description"], name
        if "requestBody" in operation:
            assert {"400", "413", "415"} <= responses.keys(), name
    assert not [path for path in document["paths"] if path.startswith(("/ui", "/sign", "/static"))]


async def test_each_reference_leads_somewhere(document: dict[str, Any]) -> None:
    schemas = document["components"]["schemas"]
    found: list[str] = []

    def look(value: Any) -> None:
        if isinstance(value, dict):
            if "$ref" in value:
                found.append(value["$ref"])
            for each in value.values():
                look(each)
        elif isinstance(value, list):
            for each in value:
                look(each)

    look(document)
    assert found
    assert {each.rpartition("/")[2] for each in found} <= schemas.keys()
    assert schemas["NewJob"]["examples"]
