"""Questions before something is done: a dialog of the page where it was asked, or a page itself."""

from __future__ import annotations

from typing import Any

from fastapi import Request
from fastapi.responses import HTMLResponse

from streams.console.pages.render import page


def ask_first(request: Request, form: str, *, leave: str, **values: Any) -> HTMLResponse:
    """The form of a template, with a way back to `leave`; without scripts it is a page."""
    is_dialog = "hx-request" in request.headers
    template = "sure_dialog.html" if is_dialog else "sure.html"
    return page(request, template, form=form, leave=leave, **values)
