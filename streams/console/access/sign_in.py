"""Signing in with a token, and signing out."""

from __future__ import annotations

import time
from typing import Annotated, Final

from fastapi import APIRouter, Form, Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse
from markupsafe import escape

from streams.console.access.address import address_of
from streams.console.access.gate import Rules
from streams.console.access.sessions import COOKIE
from streams.console.access.throttle import Throttle
from streams.console.access.tokens import found

router = APIRouter(include_in_schema=False)

_PAGE: Final = """<!doctype html>
<html lang="en">
<head>
  <meta charset="utf-8">
  <meta name="viewport" content="width=device-width, initial-scale=1">
  <title>Sign in · Streams</title>
  <link rel="icon" href="/static/icon.svg" type="image/svg+xml">
  <link rel="stylesheet" href="/static/console.css">
</head>
<body>
  <main id="content" class="sign-in">
    <section class="card" aria-labelledby="title">
      <header><h1 id="title">Sign in to Streams</h1></header>
      <div class="body">
        <form action="/sign-in" method="post" class="stack">
          <input type="hidden" name="next" value="{next}">
          <label for="token">Token</label>
          <input type="password" id="token" name="token" autocomplete="current-password" required>
          {why}
          <p class="muted"><code>streams console token</code> makes one;
            ask whoever runs this console.</p>
          <button class="main">Sign in</button>
        </form>
      </div>
    </section>
  </main>
</body>
</html>
"""
TOKEN_MAX: Final = 500


@router.get("/sign-in", response_class=HTMLResponse)
async def sign_in_page(next: str = "/") -> HTMLResponse:
    """Where people give their token."""
    return _page(next)


@router.post("/sign-in")
async def sign_in(
    request: Request,
    token: Annotated[str, Form(max_length=TOKEN_MAX)] = "",
    next: Annotated[str, Form(max_length=2_000)] = "/",
) -> Response:
    """Begin a session; whoever guesses has to wait."""
    rules: Rules = request.app.state.rules
    throttle: Throttle = request.app.state.throttle
    address = address_of(request.scope, is_behind_proxy=rules.is_behind_proxy)
    now = time.monotonic()
    if wait := throttle.wait_s(address, now):
        page = _page(next, f"Too many tries: wait for {wait} seconds.", 429)
        page.headers["Retry-After"] = str(wait)
        return page
    entry = found(rules.tokens, token.strip())
    if entry is None:
        throttle.failed(address, now)
        return _page(next, "This is no token of this console.", 401)
    answer = RedirectResponse(_local(next), 303)
    answer.set_cookie(
        COOKIE,
        rules.sessions.begin(entry, int(time.time())),
        max_age=rules.sessions.lasts_s,
        httponly=True,
        samesite="strict",
        secure=_is_secure(request),
        path="/",
    )
    return answer


@router.post("/sign-out")
async def sign_out(request: Request) -> Response:
    """End the session."""
    rules: Rules = request.app.state.rules
    session = getattr(request.state, "session", None)
    if session is not None:
        rules.sessions.end(session, int(time.time()))
    answer = RedirectResponse("/sign-in" if rules.is_closed else "/", 303)
    answer.delete_cookie(COOKIE, path="/", httponly=True, samesite="strict")
    return answer


def _page(next: str, why: str = "", status: int = 200) -> HTMLResponse:
    told = f'<p class="failed-text" role="alert">{escape(why)}</p>' if why else ""
    return HTMLResponse(_PAGE.format(next=escape(_local(next)), why=told), status)


def _local(next: str) -> str:
    """A path of the console's own, whatever was asked for."""
    is_local = next.startswith("/") and not next.startswith(("//", "/\\"))
    is_plain = all(" " < each <= "~" for each in next)
    return next if is_local and is_plain and len(next) < 2_000 else "/"


def _is_secure(request: Request) -> bool:
    if request.url.scheme == "https":
        return True
    told = request.headers.get("x-forwarded-proto", "").strip().lower()
    rules: Rules = request.app.state.rules
    return rules.is_behind_proxy and told == "https"
