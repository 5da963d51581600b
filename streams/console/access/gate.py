"""The gate in front of all routes: who asks, and whether they may."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Final
from urllib.parse import parse_qs, quote

from fastapi import Request
from starlette.datastructures import Headers as Given
from starlette.requests import cookie_parser
from starlette.responses import RedirectResponse, Response

from streams.console.access.address import address_of
from streams.console.access.origins import host_refusal, origin_refusal
from streams.console.access.scopes import changes_something, is_open, needed
from streams.console.access.sessions import COOKIE, Session, Sessions
from streams.console.access.throttle import Throttle
from streams.console.access.tokens import SCOPES, Token, found
from streams.console.paths import App, Message, Receive, Scope, Send
from streams.console.problems import Problem, answer

FORM_HEADER: Final = "x-csrf-token"
FORM_FIELD: Final = "csrf"
SIGN_IN: Final = "/sign-in"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """By what the gate decides."""

    tokens: tuple[Token, ...]
    sessions: Sessions
    hosts: frozenset[str]
    operator: str  # who acts where no tokens are set
    is_behind_proxy: bool = False  # whose word is believed

    @property
    def is_closed(self) -> bool:
        """Whether anybody needs a token at all."""
        return bool(self.tokens)


_Admitted = tuple[str, Session | None, frozenset[str]]  # who, in which session, with which scopes


class Gate:
    """Lets through who may.

    `scope["state"]` then has `who`, their `scopes`, and the `session`, if there is one.
    """

    def __init__(self, app: App, rules: Rules) -> None:
        self._app = app
        self._rules = rules
        self._throttle = Throttle()  # of what services send; people have another one

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Given(scope=scope)
        try:
            who, session, scopes = self._admitted(scope, headers)
            is_form = changes_something(scope["method"]) and scope["path"] != SIGN_IN
            if session is not None and is_form:
                receive = await self._checked_form(session, headers, receive)
        except Problem as problem:
            refused = _refused(scope, headers, problem)
            await refused(scope, receive, send)
            return
        scope.setdefault("state", {}).update(
            who=who, scopes=scopes, session=session, form_token=self._form_token(session)
        )
        await self._app(scope, receive, send)

    def _admitted(self, scope: Scope, headers: Given) -> _Admitted:
        rules, host = self._rules, headers.get("host")
        if not rules.is_closed and (why := host_refusal(host, rules.hosts)):
            raise Problem(421, why)
        why = origin_refusal(
            headers.get("origin"), headers.get("sec-fetch-site"), host, rules.hosts
        )
        if why and (headers.get("origin") is not None or changes_something(scope["method"])):
            raise Problem(403, why)
        if not rules.is_closed:
            return rules.operator, None, frozenset(SCOPES)
        token, session = self._credentials(headers)
        if is_open(scope["path"]):
            name, scopes = ("", frozenset[str]()) if token is None else (token.name, token.scopes)
            return name, session, scopes
        if token is None:
            if "authorization" in headers:
                self._note_failure(scope)
            raise Problem(
                401,
                "send the header Authorization: Bearer with a token, or sign in",
                headers={"WWW-Authenticate": "Bearer"},
            )
        scope_needed = needed(scope["method"], scope["path"])
        if scope_needed is not None and scope_needed not in token.scopes:
            raise Problem(
                403,
                f"the token {token.name} may not do this: it needs the scope {scope_needed}",
                headers={
                    "WWW-Authenticate": f'Bearer error="insufficient_scope", scope="{scope_needed}"'
                },
            )
        return token.name, session, token.scopes

    def _note_failure(self, scope: Scope) -> None:
        """Whoever sends wrong tokens again and again is told to wait; right ones are let in."""
        address = address_of(scope, is_behind_proxy=self._rules.is_behind_proxy)
        now = time.monotonic()
        if wait := self._throttle.wait_s(address, now):
            why = f"too many wrong tokens came from this address: wait for {wait} seconds"
            raise Problem(429, why, headers={"Retry-After": str(wait)})
        self._throttle.failed(address, now)

    def _credentials(self, headers: Given) -> tuple[Token | None, Session | None]:
        given = headers.getlist("authorization")
        if given:
            scheme, _, token = given[0].strip().partition(" ")
            if len(given) > 1 or scheme.lower() != "bearer":
                return None, None
            return found(self._rules.tokens, token.strip()), None
        cookie = cookie_parser(headers.get("cookie", "")).get(COOKIE)
        session = None if cookie is None else self._rules.sessions.read(cookie, int(time.time()))
        return (None if session is None else session.token), session

    def _form_token(self, session: Session | None) -> str:
        return "" if session is None else self._rules.sessions.form_token(session.id)

    async def _checked_form(self, session: Session, headers: Given, receive: Receive) -> Receive:
        """Refuse what a page of others may have sent; what is received then is the same."""
        given = headers.get(FORM_HEADER)
        media = headers.get("content-type", "").partition(";")[0].strip().lower()
        if given is None and media == "application/x-www-form-urlencoded":
            body, receive = await _read_again(receive)
            fields = parse_qs(body.decode(errors="replace")).get(FORM_FIELD, [])
            given = fields[0] if fields else None
        if not self._rules.sessions.fits_form(session.id, given):
            raise Problem(403, "this form is out of date: load the page again, and send it then")
        return receive


async def _read_again(receive: Receive) -> tuple[bytes, Receive]:
    """The body, and what gives it once more; it is bounded by then."""
    parts, is_more = [], True
    while is_more:
        message = await receive()
        if message["type"] != "http.request":
            break
        parts.append(message.get("body", b""))
        is_more = message.get("more_body", False)
    body = b"".join(parts)
    told: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def again() -> Message:
        return told.pop() if told else await receive()

    return body, again


def _refused(scope: Scope, headers: Given, problem: Problem) -> Response:
    """A problem; people are shown where to sign in."""
    is_page = "text/html" in headers.get("accept", "") and scope["method"] == "GET"
    if problem.status != 401 or not (is_page or "hx-request" in headers):
        return answer(problem, scope)
    query = scope.get("query_string", b"").decode("latin-1")
    wanted = scope.get("raw_path", b"/").decode("latin-1") + (f"?{query}" if query else "")
    place = f"{SIGN_IN}?next={quote(wanted, safe='/')}"
    if "hx-request" in headers:
        problem.headers["HX-Redirect"] = SIGN_IN
        return answer(problem, scope)
    return RedirectResponse(place, 303)


def csrf_token(request: Request) -> str:
    """What a form of a page has to send as the field `csrf`; empty where nobody has to sign in."""
    return str(getattr(request.state, "form_token", ""))


def may(request: Request, scope: str) -> bool:
    """Whether who asks has this scope: what they may not do is not offered to them."""
    return scope in getattr(request.state, "scopes", frozenset())


def who_signed_in(request: Request) -> str | None:
    """Who has signed in; None without a session."""
    session = getattr(request.state, "session", None)
    return None if session is None else str(session.token.name)
