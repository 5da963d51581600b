"""What a sandbox is handed."""

from __future__ import annotations

import pytest

from streams import job
from streams.testing import Sandbox


@job
async def resize(image_id: int) -> None: ...


@pytest.mark.parametrize("given", [[resize], None, "shop.handlers"])
def test_what_has_no_handlers_is_refused(given: object) -> None:
    with pytest.raises(TypeError, match="modules, handlers and listeners, one by one"):
        Sandbox(given)
